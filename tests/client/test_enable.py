"""`pypicached-client enable` and `disable`: what is written, what stays, and what is removed."""

from __future__ import annotations

import configparser
import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import pypicached_client as program
import pytest

from pypicached.cli.address import parse_address
from pypicached.cli.recipes import build_recipe
from tests.client.conftest import Answerer, Machine

_FOREIGN = "[global]\ntimeout = 9\n"


def _tree(root: Path) -> dict[str, str]:
    """Return path → text of every file and directory of a host."""
    return {
        str(path.relative_to(root)): path.read_text() if path.is_file() else ""
        for path in root.rglob("*")
    }


# ── enable ───────────────────────────────────────────────────────────────────────────────────


def test_enable__pip_alone(machine: Machine, answerer: Answerer) -> None:
    """Without more, pip's file is all that is written, and says where the index is."""
    done = machine.run("enable", answerer.url)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"/etc/pip.conf written: pip uses {answerer.url}\n"
    assert list(_tree(machine.host.root)) == ["etc", "etc/pip.conf"]
    assert f"\n[global]\nindex-url = {answerer.url}\n# " in machine.pip_conf.read_text()


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_enable__modes(machine: Machine, answerer: Answerer, mask: int) -> None:
    """Everybody can read what is written, and only its owner write it, whatever the umask."""
    before = os.umask(mask)
    try:
        assert machine.run("enable", answerer.url, "--uv").code == 0
    finally:
        os.umask(before)
    modes = [
        path.stat().st_mode & 0o777
        for path in (machine.pip_conf, machine.uv_toml, machine.uv_toml.parent)
    ]
    assert modes == [0o644, 0o644, 0o755]


@pytest.mark.parametrize("url", ["http://127.0.0.1:3143", "http://h.example:1/x", "https://h"])
def test_enable__one_voice_with_client(url: str) -> None:
    """What is written sets the same as what `pypicached client` prints for pip and uv."""
    ours, theirs = program.parse_address(url), parse_address(url)
    parsers = []
    for text in (program.render("pip", ours), build_recipe("pip", theirs, {})):
        parsers.append(configparser.RawConfigParser())
        parsers[-1].read_string(text)
    assert parsers[0] == parsers[1]
    recipe = build_recipe("uv", theirs, {})
    assert tomllib.loads(program.render("uv", ours)) == tomllib.loads(recipe)
    words = " ".join(recipe.replace("#", " ").split())
    locks = " ".join(program.UV_LOCKS.replace("#", " ").split())
    assert locks.replace("this setting", "the setting above") in words


def test_enable__uv(machine: Machine, answerer: Answerer) -> None:
    """With --uv its file is written, too, and what a committed uv.lock needs is said."""
    done = machine.run("enable", answerer.url, "--uv")
    assert (done.code, done.err) == (0, "")
    assert tomllib.loads(machine.uv_toml.read_text()) == {
        "index": [{"url": answerer.url, "default": True}]
    }
    assert "`uv sync --locked` fail" in done.out
    assert "uv export --frozen --no-emit-project | uv pip sync -" in done.out
    assert max(map(len, program.UV_LOCKS.splitlines())) <= 80


def test_enable__again(machine: Machine, answerer: Answerer) -> None:
    """The same once more changes nothing, and is no error."""
    machine.run("enable", answerer.url, "--uv")
    before = _tree(machine.host.root)
    done = machine.run("enable", answerer.url, "--uv")
    assert (done.code, _tree(machine.host.root)) == (0, before)
    assert f"/etc/pip.conf has {answerer.url} already\n" in done.out


def test_enable__another_address(machine: Machine, make_answerer: Callable[[], Answerer]) -> None:
    """Another address replaces the first in all files that are ours, and undoing is still whole."""
    first, second = make_answerer(), make_answerer()
    machine.run("enable", first.url, "--uv")
    assert machine.run("enable", second.url).code == 0
    for file in (machine.pip_conf, machine.uv_toml):
        assert second.url in file.read_text()
        assert first.url not in file.read_text()
    assert machine.run("disable").code == 0
    assert _tree(machine.host.root) == {"etc": ""}


@pytest.mark.parametrize("arguments", [(), ("--force",), ("--uv",)])
def test_enable__foreign_file(
    machine: Machine, answerer: Answerer, arguments: tuple[str, ...]
) -> None:
    """A file that is not ours stays as it is, not even --force writes it; the line is told."""
    machine.put("/etc/pip.conf", _FOREIGN)
    before = _tree(machine.host.root)
    done = machine.run("enable", answerer.url, *arguments)
    assert (done.code, done.out, _tree(machine.host.root)) == (1, "", before)
    assert done.err == (
        "pypicached-client: /etc/pip.conf was not written by pypicached-client, and stays as it "
        "is; nothing was changed. By hand, it needs "
        f"index-url = {answerer.url} under [global]\n"
    )


def test_enable__foreign_uv_file(machine: Machine, answerer: Answerer) -> None:
    """Where uv's file is in the way, pip's is not written, either."""
    machine.put("/etc/uv/uv.toml", "offline = true\n")
    before = _tree(machine.host.root)
    done = machine.run("enable", answerer.url, "--uv")
    assert (done.code, _tree(machine.host.root)) == (1, before)
    assert f'needs url = "{answerer.url}" and default = true under [[index]]' in done.err


def test_enable__by_hand(machine: Machine, answerer: Answerer) -> None:
    """Who has followed the advice is not refused, and the file is still not ours."""
    machine.put("/etc/pip.conf", f"{_FOREIGN}index_url = {answerer.url.rstrip('/')}\n")
    done = machine.run("enable", answerer.url, "--uv")
    assert (done.code, done.err) == (0, "")
    assert "/etc/pip.conf has" in done.out
    assert machine.run("disable").code == 0
    assert machine.pip_conf.read_text().startswith(_FOREIGN)
    assert not machine.uv_toml.parent.exists()


def test_enable__by_hand_without_trust(machine: Machine) -> None:
    """Plain HTTP beyond loopback needs pip's trust: an address alone does not do."""
    address = program.parse_address("http://cache.example:3143")
    text = f"[global]\nindex-url = {address.url}\n"
    assert not program.says("pip", text, address)
    assert program.says("pip", f"{text}trusted-host = a cache.example\n", address)
    machine.put("/etc/pip.conf", text)
    done = machine.run("enable", address.url, "--force")
    assert done.code == 1
    assert f"{address.url} and trusted-host = cache.example under [global]" in done.err


def test_enable__edited_file(machine: Machine, make_answerer: Callable[[], Answerer]) -> None:
    """A file of ours that somebody edited is treated like somebody else's."""
    machine.run("enable", make_answerer().url)
    machine.pip_conf.write_text(machine.pip_conf.read_text() + "timeout = 9\n")
    before = _tree(machine.host.root)
    done = machine.run("enable", make_answerer().url)
    assert (done.code, _tree(machine.host.root)) == (1, before)
    assert "was edited after pypicached-client wrote it, and stays as it is" in done.err


def test_enable__edited_uv_file(machine: Machine, make_answerer: Callable[[], Answerer]) -> None:
    """Where uv is not asked for, its edited file hinders nothing, and is said to stay behind."""
    first, second = make_answerer(), make_answerer()
    machine.run("enable", first.url, "--uv")
    machine.uv_toml.write_text(f"offline = true\n{machine.uv_toml.read_text()}")
    done = machine.run("enable", second.url)
    assert done.code == 0
    assert "/etc/uv/uv.toml was edited after" in done.err
    assert second.url in machine.pip_conf.read_text()
    assert first.url in machine.uv_toml.read_text()


@pytest.mark.parametrize("kind", ["link", "dangling link", "directory", "fifo"])
def test_enable__no_regular_file(machine: Machine, answerer: Answerer, kind: str) -> None:
    """A link is not followed, wherever it leads, and what is no file is never opened."""
    elsewhere = machine.put("/srv/pip.conf", "")
    match kind:
        case "link":
            machine.pip_conf.symlink_to(elsewhere)
        case "dangling link":
            machine.pip_conf.symlink_to("/nowhere")
        case "directory":
            machine.pip_conf.mkdir()
        case "fifo":
            os.mkfifo(machine.pip_conf)
    done = machine.run("enable", answerer.url)
    assert (done.code, elsewhere.read_text()) == (1, "")
    assert "/etc/pip.conf is " in done.err
    assert machine.run("disable").code == 0
    assert os.path.lexists(machine.pip_conf)


def test_enable__a_link_to_what_is_ours(machine: Machine, answerer: Answerer) -> None:
    """A file that was moved away and linked to is somebody's doing, and stays."""
    machine.run("enable", answerer.url)
    machine.pip_conf.rename(machine.host.root / "moved")
    machine.pip_conf.symlink_to(machine.host.root / "moved")
    assert machine.run("disable").code == 0
    assert machine.pip_conf.is_symlink()


def test_enable__no_directory(machine: Machine, answerer: Answerer) -> None:
    """What cannot be written is one sentence, and leaves nothing behind."""
    machine.put("/etc/uv", "")
    done = machine.run("enable", answerer.url, "--uv")
    assert done.code == 1
    assert done.err == "pypicached-client: cannot write /etc/uv/uv.toml: Not a directory\n"
    assert sorted(_tree(machine.host.root)) == ["etc", "etc/pip.conf", "etc/uv"]


def test_enable__not_root(machine: Machine, answerer: Answerer) -> None:
    """An ordinary user is told what to do, before anything is asked."""
    machine.become(is_root=False)
    done = machine.run("enable", answerer.url)
    assert (done.code, done.out, answerer.paths) == (4, "", [])
    assert done.err == "pypicached-client: only root may do this: sudo pypicached-client enable\n"


# ── disable ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("arguments", [(), ("--quiet",)])
def test_disable__all(machine: Machine, answerer: Answerer, arguments: tuple[str, ...]) -> None:
    """What was written goes, with the directory that was made for it."""
    machine.run("enable", answerer.url, "--uv")
    done = machine.run("disable", *arguments)
    assert (done.code, done.err, _tree(machine.host.root)) == (0, "", {"etc": ""})
    said = "" if arguments else "/etc/pip.conf removed\n/etc/uv/uv.toml removed\n"
    assert done.out == said


def test_disable__directory_of_somebody(machine: Machine, answerer: Answerer) -> None:
    """A directory that was there, or has something else in it by now, stays."""
    machine.uv_toml.parent.mkdir()
    machine.run("enable", answerer.url, "--uv")
    machine.run("disable")
    assert _tree(machine.host.root) == {"etc": "", "etc/uv": ""}
    machine.uv_toml.parent.rmdir()
    machine.run("enable", answerer.url, "--uv")
    machine.put("/etc/uv/other", "")
    assert machine.run("disable").code == 0
    assert _tree(machine.host.root) == {"etc": "", "etc/uv": "", "etc/uv/other": ""}


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text + "timeout = 9\n",
        lambda text: text.replace("index-url", "index-url "),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("simple/", "s\xefmple/"),
        lambda text: f"{text}{text}",
        lambda text: text.replace("\n", "\r\n"),
    ],
)
def test_disable__edited(machine: Machine, answerer: Answerer, edit: Callable[[str], str]) -> None:
    """The least edit makes a file its editor's: it stays, and that is said; the rest goes."""
    machine.run("enable", answerer.url, "--uv")
    machine.pip_conf.write_bytes(edit(machine.pip_conf.read_text()).encode())
    before = machine.pip_conf.read_bytes()
    done = machine.run("disable")
    assert (done.code, machine.pip_conf.read_bytes()) == (1, before)
    assert "/etc/pip.conf was edited after pypicached-client wrote it, and stays" in done.err
    assert not machine.uv_toml.parent.exists()
    # As a package is removed: said, and no failure.
    done = machine.run("disable", "--quiet")
    assert (done.code, done.out, machine.pip_conf.read_bytes()) == (0, "", before)
    assert "and stays" in done.err


def test_disable__edited_and_back(machine: Machine, answerer: Answerer) -> None:
    """An edit that was taken back leaves a file ours."""
    machine.run("enable", answerer.url)
    text = machine.pip_conf.read_text()
    machine.pip_conf.write_text(text + "\n")
    assert machine.run("disable").code == 1
    machine.pip_conf.write_text(text)
    assert machine.run("disable").code == 0
    assert not machine.pip_conf.exists()


def test_disable__nothing(machine: Machine) -> None:
    """With nothing of ours there is nothing to do, and nobody has to be root for that."""
    machine.become(is_root=False)
    machine.put("/etc/pip.conf", _FOREIGN)
    done = machine.run("disable")
    assert (done.code, done.out) == (0, "nothing to undo: no file is ours\n")
    assert machine.run("disable", "--quiet").out == ""
    assert machine.pip_conf.read_text() == _FOREIGN


def test_disable__not_root(machine: Machine, answerer: Answerer) -> None:
    """An ordinary user is told what to do."""
    machine.run("enable", answerer.url)
    machine.become(is_root=False)
    done = machine.run("disable")
    assert (done.code, machine.pip_conf.exists()) == (4, True)
    assert "sudo pypicached-client disable" in done.err
