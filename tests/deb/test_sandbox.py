"""Everything works under the whole sandbox; what needs it opened has a documented drop-in."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.deb.configuring import CONFIGURATION, configure, drop_in
from tests.deb.index import Index
from tests.deb.machine import Machine
from tests.deb.visitor import Visitor
from tests.fake.wheels import DistFile, make_wheel


def test_security__exposure(host: Machine) -> None:
    """systemd rates the services' exposure at 1.5 at most."""
    for unit in ("pypicached.service", "pypicached-prune.service"):
        rating = host.out("systemd-analyze", "security", "--no-pager", unit)
        found = re.search(rf"Overall exposure level for {unit}: ([\d.]+)", rating)
        assert found is not None
        assert float(found[1]) <= 1.5, rating


def test_units__verify(host: Machine) -> None:
    """systemd finds nothing to complain about in the units."""
    units = host.shell("ls /lib/systemd/system/pypicached*").split()
    assert len(units) == 5
    done = host.run("systemd-analyze", "verify", "--man=no", *units)
    assert done.stdout + done.stderr == ""


def test_process__has_no_power(host: Machine) -> None:
    """The daemon is its own user, without capabilities, and its state is nobody else's."""
    status = host.read(f"/proc/{host.pid()}/status")
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    uid = host.out("id", "--user", "pypicached")
    assert re.search(rf"^Uid:\s+{uid}\s+{uid}\s+{uid}\s+{uid}$", status, re.MULTILINE)
    for directory in ("/var/cache/pypicached", "/var/lib/pypicached"):
        assert host.out("stat", "-c", "%a %U", directory) == "700 pypicached"


def test_process__writes_only_its_own(host: Machine) -> None:
    """Everything is read-only to the daemon but its own directories, and there it runs nothing."""
    mounts = {}
    for line in host.read(f"/proc/{host.pid()}/mountinfo").splitlines():
        # Of mounts on one another the last one counts (proc(5): fields 5 and 6).
        where, options = line.split()[4:6]
        mounts[where] = options.split(",")
    # nspawn's own, and file systems of the kernel.
    others = re.compile(r"/(run/host|proc|dev/(pts|hugepages|mqueue))\b")
    writable = {where for where in mounts if "rw" in mounts[where] and not others.match(where)}
    own = {"/var/cache/pypicached", "/var/lib/pypicached", "/tmp", "/var/tmp", "/dev/shm"}
    assert writable == own
    assert all("noexec" in mounts[where] for where in own)
    inside = ["nsenter", f"--target={host.pid()}", "--mount", "--", "sh", "-c"]
    program = "/var/cache/pypicached/program"
    done = host.run(*inside, f"cp /bin/true {program} && {program}", check=False)
    assert "Permission denied" in done.stderr


def test_socket__ipv6(host: Machine, index: Index, six: DistFile) -> None:
    """It serves on [::1], too."""
    with Visitor(host, ("::1", 3143)) as visitor:
        visitor.fetch("six", six)


def follow_hints(host: Machine) -> None:
    """Run, as root, the commands that `config check` gives; then it has nothing more to say."""
    # What keeps the service from starting is a problem, too: exit code 1.
    checked = json.loads(host.run("pypicached", "config", "check", "--json", check=False).stdout)
    assert checked["hints"], checked
    for hint in checked["hints"]:
        host.shell(hint["command"])
    checked = json.loads(host.out("pypicached", "config", "check", "--json"))
    assert checked == {"problems": [], "hints": []}


def test_socket__another_address(host: Machine, index: Index, six: DistFile) -> None:
    """An address in the file needs a drop-in; `status` says so, and `config check` has it."""
    configure(host, index, "[server]", 'listen = ["127.0.0.1:4000"]')
    host.systemctl("restart", "pypicached.service")
    problems = json.loads(host.out("pypicached", "status", "--json"))["problems"]
    assert any("ListenStream=127.0.0.1:4000" in problem for problem in problems)
    follow_hints(host)
    with Visitor(host, ("127.0.0.1", 4000)) as visitor:
        visitor.fetch("six", six)
    with Visitor(host) as visitor, pytest.raises(ConnectionRefusedError):
        visitor.get("/healthz")
    assert json.loads(host.out("pypicached", "status", "--json"))["problems"] == []


def test_socket__address_that_comes_later(host: Machine, six: DistFile) -> None:
    """An address that is not there yet (a bridge of containers) is no obstacle."""
    drop_in(host, "pypicached.socket", "[Socket]\nListenStream=172.17.0.1:3143\n")
    host.systemctl("restart", "pypicached.socket", "pypicached.service")
    add = host.in_network("ip", "address", "add", "172.17.0.1/32", "dev", "lo")
    subprocess.run(add, check=True)
    with Visitor(host, ("172.17.0.1", 3143)) as visitor:
        visitor.fetch("six", six)


@pytest.fixture
def disk(host: Machine, index: Index) -> str:
    """Another disk, small, where the service may not write as it comes; the settings say it."""
    host.run("mkdir", "/srv/cache")
    host.run("mount", "-t", "tmpfs", "-o", "size=64M", "tmpfs", "/srv/cache")
    configure(host, index, "[cache]", 'directory = "/srv/cache/here"', 'min_free = "1MiB"')
    return "/srv/cache"


def test_disk__elsewhere(host: Machine, visitor: Visitor, six: DistFile, disk: str) -> None:
    """The cache works on another disk with what `config check` says; the journal says it, too."""
    assert host.systemctl("restart", "pypicached.service", check=False).returncode != 0
    assert f"ReadWritePaths={disk}/here" in host.journal()
    follow_hints(host)
    visitor.fetch("six", six)
    assert host.out("find", f"{disk}/here/blobs", "-type", "f", "-size", "-10k")


def test_disk__full(host: Machine, index: Index, visitor: Visitor, disk: str) -> None:
    """What does not fit on the disk is streamed through all the same, and `status` says so."""
    follow_hints(host)
    # Room for nothing: somebody else has filled the disk.
    host.run("dd", "if=/dev/zero", f"of={disk}/other", "bs=1M", "count=60", "status=none")
    large = make_wheel("large", size_bytes=20_000_000)
    index.add("large", large)
    visitor.fetch("large", large)
    assert host.run("pypicached", "status", "--check", check=False).returncode == 1


def test_disk__moved(
    host: Machine, index: Index, visitor: Visitor, six: DistFile, disk: str
) -> None:
    """What is cached goes along to another disk, as README.Debian says."""
    visitor.fetch("six", six)
    units = ("pypicached.socket", "pypicached-control.socket", "pypicached.service")
    host.systemctl("stop", *units)
    host.run("install", "-d", "-m", "0700", "-o", "pypicached", "-g", "pypicached", f"{disk}/here")
    host.shell(f"cp -a /var/cache/pypicached/. {disk}/here/")
    host.systemctl("start", "pypicached.socket", "pypicached-control.socket")
    follow_hints(host)
    visitor.fetch("six", six)
    assert index.count("*/six-*.whl") == 1


def test_secret__of_systemd(host: Machine, index: Index, visitor: Visitor, six: DistFile) -> None:
    """A file in the credentials' directory, which only root reads, is an index's password."""
    index.require(("user", "very-secret"))
    host.write("/etc/pypicached/credentials/local", "very-secret\n", 0o600)
    configure(
        host,
        index,
        extra='username = "user"\npassword_file = "$CREDENTIALS_DIRECTORY/cred_local"',
    )
    host.systemctl("restart", "pypicached.service")
    visitor.fetch("six", six)
    for told in (host.journal(), host.out("pypicached", "status", "--json")):
        assert "very-secret" not in told


def test_proxy__of_the_environment(
    host: Machine, index: Index, visitor: Visitor, six: DistFile
) -> None:
    """A proxy in /etc/default/pypicached is the way to an index whose name only it knows."""
    proxy = index.run(index.start_proxy())
    host.write("/etc/default/pypicached", f"HTTP_PROXY=http://{proxy}\n")
    url = index.url.replace("127.0.0.1", "index.example")
    # Its files are at a literal address here, and a proxy's own answers cannot vouch for that.
    host.write(
        CONFIGURATION,
        f'[[index]]\nname = "local"\nurl = "{url}"\nallow_addresses = ["127.0.0.1"]\n',
    )
    host.systemctl("restart", "pypicached.service")
    visitor.fetch("six", six)
    assert f"{url}six/" in index.proxied


def test_worker__huge_page(host: Machine, index: Index, visitor: Visitor) -> None:
    """A page beyond 8 MiB is parsed by a process of its own, which the sandbox allows."""
    entry = {"filename": "", "url": "", "hashes": {"sha256": "0" * 64}, "core-metadata": False}
    files = []
    for number in range(50_000):
        name = f"huge-{number}-py3-none-any.whl"
        files.append(entry | {"filename": name, "url": f"{index.files_origin}/packages/{name}"})
    page = {"meta": {"api-version": "1.1"}, "name": "huge", "files": files, "versions": []}
    body = json.dumps(page).encode()
    assert len(body) > 8 * 1024 * 1024
    index.serve("/simple/huge/", body, "application/vnd.pypi.simple.v1+json")
    assert len(visitor.page("huge")) == 50_000


def test_warm__resolver(host: Machine, index: Index) -> None:
    """`warm` resolves in a process of its own, too."""
    index.add("app", make_wheel("app", requires=["lib>=1"]))
    index.add("lib", make_wheel("lib", "1.5"))
    items = json.loads(host.out("pypicached", "warm", "app", "--json"))["items"]
    assert {item["project"]: item["outcome"] for item in items} == {
        "app": "fetched",
        "lib": "fetched",
    }


def test_prune__by_hand_and_by_timer(host: Machine, visitor: Visitor, six: DistFile) -> None:
    """The timer may be enabled, and its service prunes over the control socket."""
    visitor.fetch("six", six)
    host.systemctl("enable", "--now", "pypicached-prune.timer")
    assert host.state("pypicached-prune.timer") == "active"
    drop_in(host, "pypicached-prune.service", "[Service]\nEnvironment=DAYS=0\n")
    host.systemctl("start", "pypicached-prune.service")
    assert host.show("pypicached-prune.service", "Result") == "success"
    assert "removed 1 file" in host.journal("-u", "pypicached-prune.service")
