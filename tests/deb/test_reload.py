"""`systemctl reload`: a good file counts at once, a bad one changes nothing."""

from __future__ import annotations

from tests.deb.configuring import configure
from tests.deb.index import Index
from tests.deb.machine import Machine
from tests.deb.visitor import Visitor
from tests.fake.wheels import make_wheel


def test_reload__good_file(host: Machine, index: Index, visitor: Visitor) -> None:
    """A new rule holds at once, for a page that is cached already; nothing restarts."""
    index.add("evil", make_wheel("evil"))
    assert visitor.get("/simple/evil/").status == 200
    before = host.pid()
    configure(host, index, "[policy]", 'deny = ["evil"]')
    host.systemctl("reload", "pypicached.service")
    assert visitor.get("/simple/evil/").status == 403
    assert visitor.get("/simple/six/").status == 200
    configure(host, index)
    host.run("pypicached", "reload")
    assert visitor.get("/simple/evil/").status == 200
    assert host.pid() == before


def test_reload__bad_file(host: Machine, index: Index, visitor: Visitor) -> None:
    """`systemctl reload` fails, says why, and what held before goes on."""
    index.add("evil", make_wheel("evil"))
    configure(host, index, "[policy]", 'deny = ["evil"]')
    host.systemctl("reload", "pypicached.service")
    before = host.pid()
    configure(host, index, "[policy]", 'denny = ["six"]')
    assert host.systemctl("reload", "pypicached.service", check=False).returncode != 0
    assert host.state("pypicached.service") == "active"
    assert host.pid() == before
    assert "denny" in host.journal()
    assert visitor.get("/simple/evil/").status == 403
    assert visitor.get("/simple/six/").status == 200
    # The words are those of `config check`.
    checked = host.run("pypicached", "config", "check", check=False)
    assert checked.returncode == 2
    assert f"configuration refused: {checked.stderr.strip()}" in host.journal()


def test_reload__new_secret(host: Machine, index: Index, visitor: Visitor) -> None:
    """A secret that was put into the credentials' directory needs a restart, no reboot."""
    index.require(("user", "first"))
    host.write("/etc/pypicached/credentials/local", "first\n", 0o600)
    configure(
        host,
        index,
        extra='username = "user"\npassword_file = "$CREDENTIALS_DIRECTORY/cred_local"',
    )
    host.systemctl("restart", "pypicached.service")
    assert visitor.get("/simple/six/").status == 200
    assert "first" not in host.journal()
    assert "first" not in host.out("pypicached", "config", "show")
