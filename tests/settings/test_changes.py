"""What differs between two settings, told by key."""

from __future__ import annotations

from pathlib import Path

import pytest

from pypicached.settings import (
    Change,
    Loaded,
    Settings,
    Source,
    differences,
    load,
    needs_restart,
    without_restart,
)

TWO = '[[index]]\nname = "a"\nurl = "https://a.test/"\n[[index]]\nname = "b"\nurl = "https://b.test/"\n'


def read(directory: Path, text: str) -> Loaded:
    """Load settings from a file that says `text`."""
    path = directory / "pypicached.toml"
    path.write_text(text)
    return load(path, {"HOME": str(directory)})


def told(old: Settings, new: Settings) -> list[str]:
    return [f"{change.key} {change.what}" for change in differences(old, new)]


@pytest.mark.parametrize(
    ("before", "after", "keys"),
    [
        ("", "", []),
        ("", '[cache]\npage_ttl = "600s"', []),
        ("", '[cache]\npage_ttl = "5m"', ["cache.page_ttl changed"]),
        ('[policy]\ndeny = ["a"]', '[policy]\ndeny = ["A"]', []),
        (
            '[policy]\ndeny = ["a"]\n[audit]\nkeep = "1d"',
            '[server]\ndrain = "1s"',
            ["server.drain changed", "policy.deny changed", "audit.keep changed"],
        ),
        (TWO, TWO, []),
        (TWO, TWO.replace("b.test", "c.test"), ["index.b.url changed"]),
        (TWO, TWO.replace('"b"', '"c"'), ["index.b removed", "index.c added"]),
        (TWO, TWO[TWO.rindex("[[") :] + TWO[: TWO.rindex("[[")], ["index reordered"]),
        (TWO + 'token = "x"', TWO + 'token = "y"', ["index.b.token changed"]),
    ],
)
def test_differences(tmp_path: Path, before: str, after: str, keys: list[str]) -> None:
    """Each key that differs is told once, as it is written in the file; equal values are none."""
    assert told(read(tmp_path, before).settings, read(tmp_path, after).settings) == keys


def test_without_restart__holds_on(tmp_path: Path) -> None:
    """What only a restart changes stays as it was; all else is new."""
    old = read(tmp_path, '[server]\nlisten = ["127.0.0.1:1"]\n[cache]\ndirectory = "/a"').settings
    new = read(
        tmp_path,
        '[server]\nlisten = ["127.0.0.1:2"]\ndrain = "3s"\n[cache]\ndirectory = "/b"',
    ).settings
    running = without_restart(old, new)
    assert (running.server.listen, running.server.drain) == (("127.0.0.1:1",), 3.0)
    assert running.cache.directory == Path("/a")
    left = differences(running, new)
    assert [change.key for change in left] == ["server.listen", "cache.directory", "cache.ledger"]
    assert all(needs_restart(change) for change in left)
    assert not needs_restart(Change("index.a", "added"))
    assert not needs_restart(Change("policy.deny"))


# ── looking at the file again ────────────────────────────────────────────────────────────────


def test_source__sees_what_it_would_read(tmp_path: Path) -> None:
    """A look tells whether another load would read other bytes; the same bytes are the same."""
    path = tmp_path / "pypicached.toml"
    path.write_text('[server]\ndrain = "1s"\n')
    source = Source(path, {"HOME": str(tmp_path)})
    loaded = source.load()
    assert source.look() == (loaded.path, loaded.digest)
    path.write_text('[server]\ndrain = "1s"\n')
    assert source.look() == (loaded.path, loaded.digest)
    path.write_text('[server]\ndrain = "2s"\n')
    assert source.look() != (loaded.path, loaded.digest)
    assert source.look() == (path, source.load().digest)
    path.unlink()
    assert source.look() == (None, None)


def test_source__a_file_that_appears(tmp_path: Path) -> None:
    """Without a configuration file there is none, until there is one."""
    source = Source(None, {"CONFIGURATION_DIRECTORY": str(tmp_path), "HOME": str(tmp_path)})
    assert source.load().path is None
    assert source.look() == (None, None)
    (tmp_path / "pypicached.toml").write_text("")
    assert source.look() == (tmp_path / "pypicached.toml", source.load().digest)


def test_source__repeats_its_command_line(tmp_path: Path) -> None:
    """A second load has the same environment and command line as the first."""
    path = tmp_path / "pypicached.toml"
    path.write_text('[cache]\nmax_size = "1GiB"\n')
    env = {"HOME": str(tmp_path), "PYPICACHED_SERVER__DRAIN": "7s"}
    source = Source(path, env, {"cache.max_size": "2GiB"})
    for _ in range(2):
        loaded = source.load()
        assert loaded.settings.cache.max_size == 2 * 1024**3
        assert loaded.settings.server.drain == 7.0
