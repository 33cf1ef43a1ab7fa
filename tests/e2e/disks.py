"""A small disk of its own for a daemon: it fills up, and turns read-only, when it is told.

A tmpfs in a mount namespace (mount_namespaces(7)): nothing of it is seen by the rest of this host.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_MOUNT = 'mount -t tmpfs -o "size=$2" tmpfs "$1" && echo mounted && exec cat'

_MOUNT_HANGING = """
exec 9<>/dev/fuse && mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 hanging "$1" &&
echo mounted && exec cat
"""


class SmallDisk:
    """A mounted disk; `within` runs a command where it is seen."""

    def __init__(self, directory: Path, holder: int) -> None:
        self.within = ["nsenter", f"--mount=/proc/{holder}/ns/mnt", "--wd=/"]
        self._directory = directory
        # How the disk is seen from here.
        self.root = Path(f"/proc/{holder}/root{directory}")
        self._ballast = self.root / "ballast"

    def fill(self, *, leave_bytes: int = 0) -> None:
        """Take all room but this."""
        about = os.statvfs(self.root)
        room = about.f_bavail * about.f_frsize - leave_bytes
        with self._ballast.open("ab") as file:
            os.posix_fallocate(file.fileno(), file.tell(), room)

    def empty(self) -> None:
        """Give the room back."""
        self._ballast.unlink()

    def rename_ballast(self, name: str) -> None:
        """Let what takes the room be another file of the disk."""
        self._ballast.rename(self.root / name)

    def set_read_only(self, read_only: bool) -> None:
        """Remount it so."""
        option = f"remount,{'ro' if read_only else 'rw'}"
        line = [*self.within, "mount", "-o", option, str(self._directory)]
        subprocess.run(line, check=True)


@contextlib.contextmanager
def small_disk(directory: Path, size: str) -> Iterator[SmallDisk]:
    """Mount a new disk of that size on a directory; skips the test where that is not allowed."""
    with _mounted(directory, _MOUNT, str(directory), size) as holder:
        yield SmallDisk(directory, holder)


@contextlib.contextmanager
def hanging_disk(directory: Path) -> Iterator[list[str]]:
    """Mount a disk that never answers; yields what runs a command where it is seen.

    It is one of FUSE (fuse(4)) whose server reads no request, as a network mount whose server is
    gone: whoever looks at it waits, and only SIGKILL ends that.
    """
    with _mounted(directory, _MOUNT_HANGING, str(directory)) as holder:
        yield SmallDisk(directory, holder).within


@contextlib.contextmanager
def _mounted(directory: Path, script: str, *arguments: str) -> Iterator[int]:
    directory.mkdir()
    if os.geteuid() != 0 or not shutil.which("nsenter"):
        pytest.skip("needs root, for a mount namespace with a disk of its own")
    line = ["unshare", "--mount", "sh", "-c", script, "sh", *arguments]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        if holder.stdout.readline() != b"mounted\n":
            pytest.skip("this host does not let us mount a disk")
        yield holder.pid
        holder.stdin.close()
