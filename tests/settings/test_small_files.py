"""Files that are named in settings and are no files: none is waited for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pypicached.errors import SettingsError
from pypicached.settings import load
from pypicached.settings.netrc_file import NetrcError, read_netrc
from pypicached.settings.secret import read_secret
from pypicached.settings.small_files import UnusableFileError, read_small

NO_FILES = {
    "fifo": "no regular file",
    "zero": "no regular file",
    "terminal": "no regular file",
    "socket": "No such device",
    "huge": "larger than 64 KiB",
    "directory": "Is a directory",
    "loop": "Too many levels",
    "gone": "No such file",
}


def make(path: Path, kind: str) -> Path:
    """Put something at `path` that is no small file."""
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 30)
    elif kind == "directory":
        path.mkdir()
    elif kind in ("zero", "loop", "terminal"):
        targets = {"zero": "/dev/zero", "loop": str(path), "terminal": "/dev/ptmx"}
        path.symlink_to(targets[kind])
    return path


def descriptors() -> int:
    """Return how many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(("kind", "words"), NO_FILES.items())
def test_read_small__what_is_no_small_file(tmp_path: Path, kind: str, words: str) -> None:
    """What would be waited for, or read for ever, is told in a phrase; nothing stays open."""
    before = descriptors()
    with pytest.raises(UnusableFileError, match=words):
        read_small(make(tmp_path / "x", kind), 65_536)
    assert descriptors() == before


def test_read_small__bound(tmp_path: Path) -> None:
    """A file of exactly the bound is read; /dev/null is an empty file; a NUL is in no name."""
    (tmp_path / "x").write_bytes(b"x" * 1024)
    assert read_small(tmp_path / "x", 1024) == b"x" * 1024
    with pytest.raises(UnusableFileError, match="larger than 0 KiB"):
        read_small(tmp_path / "x", 1023)
    assert read_small(Path("/dev/null"), 10) == b""
    with pytest.raises(UnusableFileError, match=r"no file can have that name"):
        read_small(tmp_path / "a\0b", 10)


@pytest.mark.parametrize("kind", ["fifo", "zero", "huge"])
def test_settings__of_no_small_file(tmp_path: Path, kind: str) -> None:
    """A configuration, a secret and a netrc file are all read so."""
    path = make(tmp_path / "x", kind)
    with pytest.raises(SettingsError, match=r"no regular file|larger than 1024 KiB"):
        load(path, {"HOME": str(tmp_path)})
    with pytest.raises(SettingsError, match=r"token_file: .*(no regular file|larger than 64 KiB)"):
        read_secret(path, "index.main.token_file")
    with pytest.raises(NetrcError, match=r"no regular file|larger than 1024 KiB"):
        read_netrc(path, "index.test")
