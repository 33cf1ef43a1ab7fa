"""`pypicached-client status`: what is enabled, what else counts, and whether it answers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pypicached_client as program
import pytest

from tests.client.conftest import Answerer, Done, Machine


def _document(done: Done) -> dict[str, object]:
    found = json.loads(done.out)
    assert isinstance(found, dict)
    return found


def test_status__enabled(machine: Machine, answerer: Answerer) -> None:
    """Enabled and answering: exit code 0, for ordinary users too."""
    machine.run("enable", answerer.url)
    machine.become(is_root=False)
    done = machine.run("status")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"/etc/pip.conf    ours: {answerer.url}",
        "/etc/uv/uv.toml  absent",
        f"pip uses         {answerer.url} (/etc/pip.conf)",
        f"answers          {answerer.url} as pypicached/0.1.0",
    ]


def test_status__json(machine: Machine, answerer: Answerer) -> None:
    """One document with the same."""
    machine.run("enable", answerer.url)
    done = machine.run("status", "--json")
    file = {"path": "/etc/pip.conf", "tool": "pip", "state": "ours", "url": answerer.url}
    other = {"path": "/etc/uv/uv.toml", "tool": "uv", "state": "absent", "url": None}
    assert done.code == 0
    assert _document(done) == {
        "version": "0.1.0",
        "files": [{**file, "reason": None}, {**other, "reason": None}],
        "pip": {"url": answerer.url, "source": "/etc/pip.conf"},
        "addresses": [{"url": answerer.url, "server": "pypicached/0.1.0", "reason": None}],
        "problems": [],
        "notes": [],
    }


def test_status__nothing_enabled(machine: Machine) -> None:
    """Nothing enabled is exit code 1, and what to do is said."""
    done = machine.run("status")
    assert done.code == 1
    assert done.out.endswith(
        "pip uses         PyPI (its default)\n"
        "problem: nothing is enabled: sudo pypicached-client enable\n"
    )


def test_status__does_not_answer(machine: Machine, answerer: Answerer) -> None:
    """An address that does not answer as a pypicached is exit code 1, with the reason."""
    machine.run("enable", answerer.url, "--uv")
    answerer.status, answerer.headers = 200, {}
    done = machine.run("status")
    assert done.code == 1
    assert done.out.splitlines()[-1] == (
        f"problem: {answerer.url}: what answers there is no pypicached (status 200)"
    )
    # Both files name one address, which is asked once.
    assert answerer.paths == ["/simple"] * 2


def test_status__by_hand(machine: Machine, answerer: Answerer) -> None:
    """Somebody else's file that leads to a pypicached counts; one that leads elsewhere does not."""
    machine.put("/etc/pip.conf", f"[global]\nindex-url = {answerer.url}\n")
    done = machine.run("status")
    assert done.code == 0
    assert f"/etc/pip.conf    foreign: {answerer.url} (was not written by" in done.out
    answerer.headers = {}
    done = machine.run("status")
    assert done.code == 1
    assert done.out.endswith(
        "problem: nothing is enabled, and /etc/pip.conf was not written by pypicached-client: by "
        "hand, it needs index-url = http://127.0.0.1:3143/simple/ under [global], or another "
        "address of a pypicached\n"
    )


def test_status__by_hand_and_silent(
    machine: Machine, answerer: Answerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's file that has what it needs is not what is wrong."""
    monkeypatch.setattr(program, "DEFAULT_URL", answerer.url)
    machine.put("/etc/pip.conf", f"[global]\nindex-url = {answerer.url}\n")
    answerer.headers = {}
    done = machine.run("status")
    assert (done.code, done.out.splitlines()[-1]) == (
        1,
        f"problem: {answerer.url}: what answers there is no pypicached (status 301)",
    )


def test_status__edited(machine: Machine, answerer: Answerer) -> None:
    """An edited file counts by what it says now."""
    machine.run("enable", answerer.url)
    text = machine.pip_conf.read_text()
    machine.pip_conf.write_text(f"{text}timeout = 9\n")
    done = machine.run("status")
    assert done.code == 0
    assert f"/etc/pip.conf    changed: {answerer.url} (was edited after" in done.out
    machine.pip_conf.write_text(text.replace("index-url", "timeout"))
    done = machine.run("status")
    assert (done.code, done.out.splitlines()[-1]) == (
        1,
        "problem: no file names an address any more",
    )


def test_status__credentials_are_not_shown(machine: Machine, answerer: Answerer) -> None:
    """A password in somebody's URL is not repeated, nor are control characters."""
    machine.run("enable", answerer.url)
    machine.put(
        "/home/user/.config/pip/pip.conf", "[global]\nindex-url = https://u:secret@h/\x1b[2J\n"
    )
    for arguments in ([], ["--json"]):
        done = machine.run("status", *arguments)
        assert "https://****@h/?[2J" in done.out
        assert "secret" not in done.out
        assert "\x1b" not in done.out


def test_status__fifo_in_a_home(machine: Machine, answerer: Answerer) -> None:
    """A user cannot let root wait: what is no regular file is not read."""
    for path in ("/home/user/.config/pip/pip.conf", "/home/user/.config/uv/uv.toml"):
        file = machine.put(path, "")
        file.unlink()
        os.mkfifo(file)
    assert machine.run("enable", answerer.url, "--uv").code == 0
    assert machine.run("status").code == 0


_OTHERS = "http://other.example/simple/"


@pytest.mark.parametrize(
    ("path", "text", "note"),
    [
        ("/home/user/.config/pip/pip.conf", f"[global]\nindex_url={_OTHERS}", "wins over"),
        ("/home/user/.pip/pip.conf", f"[install]\nindex-url={_OTHERS}", "wins over"),
        ("/etc/xdg/pip/pip.conf", f"[install]\nindex-url={_OTHERS}", "wins over"),
        ("/etc/xdg/pip/pip.conf", f"[global]\nindex-url={_OTHERS}", None),
        ("/usr/pip.conf", f"[global]\nindex-url={_OTHERS}", "wins over"),
        ("/etc/xdg/pip/pip.conf", f"[global]\nextra-index-url={_OTHERS}", "asks that too"),
        ("/home/user/.pip/pip.conf", "[global]\nextra-index-url=", None),
        ("/home/user/.pip/pip.conf", "[global]\nno-index=yes", "asks no index at all"),
        ("/home/user/.pip/pip.conf", "[global]\nno-index=False", None),
        ("/home/user/.pip/pip.conf", "[global]\nproxy=http://p:1", "ask that proxy"),
        ("/home/user/.pip/pip.conf", "[list]\nindex-url=x\n[global]\ntimeout=1", None),
        ("/home/user/.pip/pip.conf", "index-url", "cannot be parsed"),
    ],
)
def test_notes__pip_files(
    machine: Machine, answerer: Answerer, path: str, text: str, note: str | None
) -> None:
    """What another file of pip changes is said, by `enable` and `status`, and is no problem."""
    machine.put(path, text)
    enabled, shown = machine.run("enable", answerer.url), machine.run("status")
    assert (enabled.code, shown.code) == (0, 0)
    if note is None:
        assert (enabled.err, "note:" in shown.out) == ("", False)
    else:
        for said in (enabled.err, shown.out):
            assert path in said
            assert note in said


@pytest.mark.parametrize(
    ("variables", "note"),
    [
        (
            {"PIP_INDEX_URL": _OTHERS},
            f"index-url of PIP_INDEX_URL wins over /etc/pip.conf: {_OTHERS}",
        ),
        ({"PIP_INDEX_URL": ""}, None),
        ({"PIP_EXTRA_INDEX_URL": _OTHERS}, "extra-index-url of PIP_EXTRA_INDEX_URL: pip asks that"),
        ({"PIP_CONFIG_FILE": "/dev/null"}, "PIP_CONFIG_FILE is /dev/null: pip does not read"),
        ({"PIP_CONFIG_FILE": "/srv/pip.conf"}, "index-url of /srv/pip.conf wins"),
        ({"VIRTUAL_ENV": "/srv"}, "index-url of /srv/pip.conf wins"),
        ({"XDG_CONFIG_HOME": "/srv/config"}, "index-url of /srv/config/pip/pip.conf wins"),
    ],
)
def test_notes__pip_variables(
    machine: Machine, answerer: Answerer, variables: dict[str, str], note: str | None
) -> None:
    """So is what variables of the caller change."""
    machine.put("/srv/pip.conf", f"[global]\nindex-url={_OTHERS}")
    machine.put("/srv/config/pip/pip.conf", f"[global]\nindex-url={_OTHERS}")
    machine.become(environment=variables)
    said = machine.run("enable", answerer.url).err
    assert (note or "") in said
    assert bool(said) == (note is not None)


@pytest.mark.parametrize(
    ("path", "text", "variables", "note"),
    [
        ("/etc/xdg/uv/uv.toml", "", {}, "/etc/xdg/uv/uv.toml is there: uv reads it in place of"),
        ("/srv/uv/uv.toml", "", {"XDG_CONFIG_DIRS": "/srv:/etc/xdg"}, "/srv/uv/uv.toml is there"),
        ("/home/user/.config/uv/uv.toml", f'[[index]]\nurl="{_OTHERS}"', {}, "names an index"),
        ("/home/user/.config/uv/uv.toml", f'extra-index-url=["{_OTHERS}"]', {}, "names an index"),
        ("/home/user/.config/uv/uv.toml", "no-index = true", {}, "uv asks no index at all"),
        ("/home/user/.config/uv/uv.toml", f'index-url="{_OTHERS}"', {}, None),
        ("/home/user/.config/uv/uv.toml", "x", {}, "cannot be parsed"),
        ("/x", "", {"UV_DEFAULT_INDEX": _OTHERS}, "UV_DEFAULT_INDEX is set: it wins over"),
        ("/x", "", {"UV_INDEX": _OTHERS}, "UV_INDEX is set: uv asks that first"),
        ("/x", "", {"UV_CONFIG_FILE": "/x"}, "UV_CONFIG_FILE is set: uv does not read"),
    ],
)
def test_notes__uv(
    machine: Machine,
    answerer: Answerer,
    path: str,
    text: str,
    variables: dict[str, str],
    note: str | None,
) -> None:
    """What leads uv elsewhere is said where uv is enabled, and not where it is not."""
    machine.put(path, text)
    machine.become(environment=variables)
    assert machine.run("enable", answerer.url).err == ""
    enabled, shown = machine.run("enable", answerer.url, "--uv"), machine.run("status")
    assert (enabled.code, shown.code) == (0, 0)
    assert ("note:" in shown.out, bool(enabled.err)) == (note is not None, note is not None)
    assert (note or "") in enabled.err
    assert (note or "") in shown.out


def test_notes__proxy(machine: Machine, make_answerer: Callable[[], Answerer]) -> None:
    """A proxy in the way is said with the line against it, and its password is not."""
    machine.become(environment={"http_proxy": "http://u:secret@p:1", "NO_PROXY": "a.example"})
    done = machine.run("enable", make_answerer().url)
    shown = machine.run("status")
    line = 'So add: export NO_PROXY="${NO_PROXY:+$NO_PROXY,}127.0.0.1"\n'
    assert done.err.endswith(line)
    assert shown.out.endswith(line)
    assert "secret" not in done.err + shown.out
