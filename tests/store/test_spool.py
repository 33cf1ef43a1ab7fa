"""Spools: room first, one writer, readers of their own, and nothing left when discarded."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pypicached.store.disk import disk_bytes
from pypicached.store.spool import STEP_BYTES, Spool


@pytest.mark.parametrize(("length", "room"), [(0, 0), (5, 5), (100_000, 100_000)])
def test_spool__room_first(tmp_path: Path, length: int, room: int) -> None:
    """The room of a known length is taken on the disk before the first byte comes."""
    spool = Spool.create(tmp_path / "spool", length)
    assert spool.allocated_bytes == room
    assert disk_bytes((tmp_path / "spool").stat()) >= room
    spool.discard()
    assert list(tmp_path.iterdir()) == []


def test_spool__unknown_length(tmp_path: Path) -> None:
    """Unknown length begins with one step; more is taken on demand, and cut off at the end."""
    spool = Spool.create(tmp_path / "spool", None)
    assert spool.allocated_bytes == STEP_BYTES
    spool.allocate(STEP_BYTES - 1)
    assert spool.allocated_bytes == STEP_BYTES
    spool.allocate(STEP_BYTES + 1)
    assert spool.allocated_bytes == STEP_BYTES + 1
    spool.write_at(b"all", 0)
    spool.seal(3)
    assert (tmp_path / "spool").read_bytes() == b"all"
    assert disk_bytes((tmp_path / "spool").stat()) <= 65536
    spool.discard()


def test_spool__no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without room says so at once, and nothing stays."""

    def refuse(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(OSError, match="No space left"):
        Spool.create(tmp_path / "spool", 10)
    assert list(tmp_path.iterdir()) == []
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_spool__name_taken(tmp_path: Path) -> None:
    """A spool never opens what is there already."""
    (tmp_path / "spool").write_text("somebody's")
    with pytest.raises(FileExistsError):
        Spool.create(tmp_path / "spool", 10)
    assert (tmp_path / "spool").read_text() == "somebody's"


def test_spool__short_writes_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that takes a part of the bytes gets the rest, too."""
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, bytes(data)[:3], at))
    spool = Spool.create(tmp_path / "spool", 100)
    spool.write_at(b"0123456789", 5)
    assert spool.read_at(10, 5) == b"0123456789"
    spool.discard()


def test_spool__readers_have_positions_of_their_own(tmp_path: Path) -> None:
    """Readers do not move each other, nor the writer; they may not write."""
    spool = Spool.create(tmp_path / "spool", 10)
    spool.write_at(b"0123456789", 0)
    one, two = spool.open_reader(), spool.open_reader()
    assert os.read(one, 4) == b"0123"
    assert os.read(two, 4) == b"0123"
    assert os.read(one, 4) == b"4567"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(one, b"x")
    for fd in (one, two):
        os.close(fd)
    spool.discard()


def test_spool__readers_outlive_its_name(tmp_path: Path) -> None:
    """Whoever reads goes on reading when the spool is renamed or discarded; others come too."""
    spool = Spool.create(tmp_path / "spool", 4)
    spool.write_at(b"body", 0)
    spool.path = spool.path.rename(tmp_path / "blob")
    early = spool.open_reader()
    spool.unlink()
    late = spool.open_reader()
    spool.close()
    spool.close()
    for fd in (early, late):
        assert os.read(fd, 10) == b"body"
        os.close(fd)
    assert list(tmp_path.iterdir()) == []
