"""The local store: what is published is whole and found, all else is a miss."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pypicached.store import LocalStore
from pypicached.store.disk import DiskPool, blocks_for, disk_bytes

BODY = b"0123456789" * 500
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    disk = DiskPool(2)
    made = LocalStore(tmp_path / "cache", disk)
    made.prepare()
    yield made
    disk.close()


async def publish(store: LocalStore, body: bytes = BODY, allocated: int | None = None) -> Path:
    """Write a blob through a spool; return its path."""
    spool = await store.create_spool(allocated)
    spool.write_at(body, 0)
    spool.seal(len(body))
    sha256 = hashlib.sha256(body).hexdigest()
    disk = await store.publish(spool, sha256)
    spool.close()
    path = store.root / "blobs" / "sha256" / sha256[:2] / sha256
    assert disk == disk_bytes(path.stat())
    return path


@pytest.mark.parametrize("allocated", [len(BODY), None, 100_000])
async def test_store__published_is_found(store: LocalStore, allocated: int | None) -> None:
    """A published blob is at its digest's path, cut to its length, and opens; tmp/ is empty."""
    path = await publish(store, allocated=allocated)
    assert path.read_bytes() == BODY
    fd = store.open(SHA256, len(BODY))
    assert fd is not None
    assert os.pread(fd, 10_000, 0) == BODY
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(fd, b"x")
    assert not os.get_inheritable(fd)
    os.close(fd)
    assert list((store.root / "tmp").iterdir()) == []
    assert [digest for digest, _ in store.walk()] == [SHA256]


async def test_store__only_its_owner_reads(store: LocalStore) -> None:
    """Directories and blobs are private to the user that runs the daemon."""
    path = await publish(store)
    for one in (path, path.parent, path.parent.parent, store.root / "tmp"):
        assert stat.S_IMODE(one.stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize("length", [0, len(BODY) - 1, len(BODY) + 1])
async def test_store__wrong_length_is_a_miss(store: LocalStore, length: int) -> None:
    """A blob of another length than its row says is not opened, and no descriptor stays."""
    await publish(store)
    before = set(Path("/proc/self/fd").iterdir())
    assert store.open(SHA256, length) is None
    assert set(Path("/proc/self/fd").iterdir()) == before


async def test_store__what_is_no_file_is_a_miss(store: LocalStore) -> None:
    """Nothing, a directory, a link, a pipe, a file in place of its directory: each is a miss."""
    assert store.open(SHA256, len(BODY)) is None
    path = await publish(store)
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.mkdir()
    assert (store.open(SHA256, len(BODY)), store.stat(SHA256)) == (None, None)
    path.rmdir()
    path.symlink_to(elsewhere)
    assert (store.open(SHA256, len(BODY)), store.stat(SHA256)) == (None, None)
    path.unlink()
    elsewhere.unlink()
    path.parent.rmdir()
    path.parent.write_text("in the way")
    assert (store.open(SHA256, len(BODY)), store.stat(SHA256)) == (None, None)


async def test_store__pipe_is_a_miss(store: LocalStore) -> None:
    """A pipe in a blob's place makes nobody wait for its writer, and is replaced."""
    path = await publish(store)
    path.unlink()
    os.mkfifo(path)
    assert (store.open(SHA256, len(BODY)), store.stat(SHA256)) == (None, None)
    assert (await publish(store)).read_bytes() == BODY


@pytest.mark.parametrize("full", [False, True])
async def test_store__directory_in_the_way(store: LocalStore, full: bool) -> None:
    """A directory in a blob's place is moved away for the blob, and the next start removes it."""
    path = await publish(store)
    for act in ("publish", "delete"):
        path.unlink()
        path.mkdir()
        if full:
            (path / "file").write_text("x")
        if act == "publish":
            assert (await publish(store)).read_bytes() == BODY
        else:
            await delete(store, SHA256)
            assert not path.exists()
    assert store.prepare() == 2
    assert list((store.root / "tmp").iterdir()) == []


async def test_store__directory_removed_while_running(store: LocalStore) -> None:
    """A digest's directory that somebody removed is made again."""
    shutil.rmtree((await publish(store)).parent)
    assert (await publish(store)).read_bytes() == BODY


async def test_store__all_directories_of_blobs_removed_while_running(store: LocalStore) -> None:
    """So are those above it, where `tmp/` is still, or again, what it was."""
    await publish(store)
    shutil.rmtree(store.root / "blobs")
    assert (await publish(store)).read_bytes() == BODY


async def test_store__no_directories_on_a_vanished_disk(store: LocalStore) -> None:
    """Where the spool has gone too, the disk has: nothing is made in the place of its mount."""
    path = await publish(store)
    spool = await store.create_spool(10)
    shutil.rmtree(path.parent)
    spool.unlink()
    with pytest.raises(FileNotFoundError):
        await store.publish(spool, SHA256)
    spool.close()
    assert not path.parent.exists()


async def test_store__disk_that_has_gone(store: LocalStore, tmp_path: Path) -> None:
    """Free room cannot be asked of a bare mount point; the size of blocks is known anyhow."""
    store.root.rename(tmp_path / "away")
    store.root.mkdir()
    with pytest.raises(FileNotFoundError):
        store.free_bytes()
    assert store.block_bytes == os.statvfs(store.root).f_frsize


async def test_store__too_many_files_is_no_miss(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Running out of descriptors is an error: a miss would fetch what is here."""
    await publish(store)

    def refuse(*_args: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        store.open(SHA256, len(BODY))


async def delete(store: LocalStore, *digests: str) -> None:
    """Remove blobs; nothing may refuse."""
    refused: dict[str, OSError] = {}
    await store.delete(digests, refused)
    assert refused == {}


async def test_store__delete_refused(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk does not let go is named with the reason, and the others go all the same."""
    path = await publish(store)
    stuck, unlink = "ab" * 32, Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == stuck:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    refused: dict[str, OSError] = {}
    await store.delete([stuck, SHA256], refused)
    assert {sha256: error.errno for sha256, error in refused.items()} == {stuck: errno.EROFS}
    assert not path.exists()


async def test_store__delete(store: LocalStore) -> None:
    """A deleted blob is gone, but not for whoever has it open; deleting twice is no error."""
    await publish(store)
    fd = store.open(SHA256, len(BODY))
    assert fd is not None
    for _ in range(2):
        await delete(store, SHA256)
    assert store.open(SHA256, len(BODY)) is None
    assert os.pread(fd, 10, 0) == BODY[:10]
    os.close(fd)


async def test_store__publish_again(store: LocalStore) -> None:
    """Publishing a digest again replaces its file, atomically: an open one keeps its bytes."""
    path = await publish(store)
    with path.open("rb") as old:
        path.write_bytes(b"spoilt")
        await publish(store)
        assert path.read_bytes() == BODY
        assert old.read() == b"spoilt"


async def test_store__walk_passes_over_what_is_not_ours(store: LocalStore) -> None:
    """Only regular files that are named by a digest are blobs."""
    path = await publish(store)
    (path.parent / "ff").write_text("short")
    (path.parent / ("G" * 64)).write_text("no hex")
    (path.parent / ("ab" * 32)).symlink_to(path)
    (path.parent / ("cd" * 32)).mkdir()
    (store.root / "blobs" / "sha256" / "stray").write_text("no directory")
    found = list(store.walk())
    assert [(digest, about.st_size) for digest, about in found] == [(SHA256, len(BODY))]


async def test_store__prepare_keeps_blobs(store: LocalStore) -> None:
    """Preparing again empties tmp/ and nothing else."""
    await publish(store)
    spool = await store.create_spool(10)
    assert store.prepare() == 1
    spool.close()
    assert [digest for digest, _ in store.walk()] == [SHA256]


@pytest.mark.parametrize(("length", "blocks"), [(0, 0), (1, 1), (4096, 1), (4097, 2)])
def test_disk__blocks(length: int, blocks: int) -> None:
    """Content takes whole blocks."""
    assert blocks_for(length, 4096) == blocks * 4096


async def test_store__directories_are_measured(store: LocalStore) -> None:
    """What the directories take is known at any time, also of a store that was there before."""

    def taken() -> int:
        root = store.root
        directories = [
            root / "tmp",
            root / "blobs",
            *(root / "blobs").rglob("??"),
            root / "blobs/sha256",
        ]
        return sum(disk_bytes(path.stat()) for path in directories)

    assert store.directory_bytes == taken()
    for number in range(20):
        await publish(store, b"%d" % number)
        assert store.directory_bytes == taken()
    again = LocalStore(store.root, store.disk)
    again.prepare()
    assert again.directory_bytes == taken()


async def test_store__empty_directory_goes(store: LocalStore) -> None:
    """The last blob of a directory takes it along, and a walk that comes by goes on."""
    empty = store.directory_bytes
    digests = sorted([(await publish(store, b"%d" % number)).name for number in range(20)])
    walk = store.walk()
    assert next(walk)[0] == digests[0]
    for digest in digests[1:-1]:
        await store.delete([digest], {})
    assert [digest for digest, _ in walk] == [digests[-1]]
    await store.delete([digests[0]], {})
    await store.delete([digests[-1]], {})
    assert list((store.root / "blobs" / "sha256").iterdir()) == []
    assert store.directory_bytes == empty
    assert (await publish(store)).read_bytes() == BODY
