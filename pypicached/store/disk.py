"""A small thread pool of our own for disk work, the arithmetic of disk blocks, and directories.

The loop's default executor belongs to DNS: six look-ups that hang fill it on two cores, and no
commit may wait for that.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Two writers that hash and two that wait in fsync; more threads only share the same disk.
THREADS = 4
# st_blocks counts units of 512 bytes whatever the file system's own block is (stat(2)).
STAT_BLOCK_BYTES = 512


class DiskPool:
    """Runs blocking disk work in a few threads."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="disk")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a thread and wait for it.

        A cancelled caller goes on only when the work is over: nobody closes a descriptor that a
        thread still writes to.
        """
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._pool, lambda: work(*args, **kwargs))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running})
            raise

    def close(self) -> None:
        """Wait for running work and end the threads."""
        self._pool.shutdown(wait=True)


def disk_bytes(stat: os.stat_result) -> int:
    """Return what a file really takes on disk."""
    return stat.st_blocks * STAT_BLOCK_BYTES


def blocks_for(length: int, block_bytes: int) -> int:
    """Return the bytes of disk blocks that `length` bytes of content will take."""
    return -(-length // block_bytes) * block_bytes


def empty_directory(path: Path) -> int:
    """Remove everything in a directory, what is no file too; return how many names went."""
    names = list(path.iterdir())
    for name in names:
        if name.is_dir() and not name.is_symlink():
            shutil.rmtree(name)
        else:
            name.unlink()
    return len(names)


def replace_file(path: Path, content: bytes) -> None:
    """Give a small file new content, durably, whole or not at all. Raises OSError."""
    temporary = _replacement_of(path)
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def drop_replacement(path: Path) -> None:
    """Remove what a crash left of `replace_file`. Raises OSError."""
    _replacement_of(path).unlink(missing_ok=True)


def _replacement_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def fsync_directory(path: Path) -> None:
    """Make renames in a directory durable (fsync(2): a file's entry is its directory's data)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
