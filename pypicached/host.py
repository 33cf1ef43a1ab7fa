"""What the daemon needs of its host: directories of its own, sockets, file descriptors.

Each refusal is a StartError: one sentence that says what is wrong and what to do next.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from pypicached.errors import StartError

BACKLOG = 1024
# Beside its clients the daemon holds the ledger, spools, upstream connections, blobs being sent.
DESCRIPTORS_PER_CLIENT = 3
DESCRIPTORS_BESIDE = 512


def make_directory(path: Path, what: str, *, remedy: str = "") -> None:
    """Make a directory that only we can read, and make sure that we can write to it.

    `remedy` is what to do where it lies on something read-only; else it is the disk's mount.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        if error.errno == errno.EROFS:
            raise _read_only(path, what, remedy) from error
        raise StartError(
            f"cannot make the {what} {path}: {error.strerror}{remedy and f'; {remedy}'}"
        ) from error
    if path.is_dir() and os.statvfs(path).f_flag & os.ST_RDONLY:
        raise _read_only(path, what, remedy)
    if not path.is_dir() or not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise StartError(
            f"cannot read and write the {what} {path}: give it to the user that runs pypicached, "
            "or name another one in the configuration"
        )


def _read_only(path: Path, what: str, remedy: str) -> StartError:
    why = remedy or (
        "its disk is mounted read-only; mount it writable, or name another one in the configuration"
    )
    return StartError(f"cannot write the {what} {path}: {why}")


@contextlib.contextmanager
def own(directory: Path) -> Iterator[None]:
    """Raise StartError where something below a directory of ours is not as we make it."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise StartError(
            f"cannot use {error.filename}: it is no directory; move away what stands there"
        ) from error
    except OSError as error:
        raise StartError(
            f"cannot use {error.filename or directory}: {error.strerror}; give all of {directory} "
            "to the user that runs pypicached"
        ) from error


def lock_directory(path: Path) -> int:
    """Take a directory for this process alone; return the descriptor that holds the lock.

    The kernel lets go when the process ends, however it ends.
    """
    name = path / "lock"
    try:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(f"cannot write {name}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise StartError(
            f"another pypicached (process {owner or 'unknown'}) already uses {path}: stop it, or "
            "give this one a --cache-dir of its own"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def raise_descriptor_limit(clients: int) -> int:
    """Raise RLIMIT_NOFILE as far as it goes; return how many clients it allows."""
    wanted = clients * DESCRIPTORS_PER_CLIENT + DESCRIPTORS_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # A sandbox may allow no change of limits (systemd: @resources); its LimitNOFILE= is ours.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft == resource.RLIM_INFINITY:
        return clients
    return min(clients, max(16, (soft - DESCRIPTORS_BESIDE) // DESCRIPTORS_PER_CLIENT))


def bind_tcp(host: str, port: int) -> socket.socket | None:
    """Return a listening socket; None where the host has no IPv6 for an IPv6 address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        if family == socket.AF_INET6:
            return None
        raise
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRNOTAVAIL and host == "::1":
            return None
        where = f"{host}:{port}"
        if error.errno == errno.EPERM and _takes_connections(host, port):
            # The sandbox of the service forbids it before the kernel finds that it is in use.
            raise StartError(
                f"another program listens on {where}: stop it, or give pypicached.socket another "
                "address (systemctl edit pypicached.socket)"
            ) from error
        raise StartError(_bind_problem(where, error)) from error
    return bound


def _takes_connections(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def bind_unix(path: Path, mode: int) -> socket.socket:
    """Return a listening Unix socket at `path`; a stale one is replaced, a live one is not."""
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise StartError(f"{path} is in the way and is no socket: remove it or name another")
        if _answers(path):
            raise StartError(
                f"another process answers on {path}: is pypicached running already? Give this one "
                "a socket of its own with --socket or PYPICACHED_SOCKET"
            )
        path.unlink()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o777 & ~mode)
        try:
            bound.bind(str(path))
        finally:
            os.umask(before)
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise StartError(_bind_problem(str(path), error)) from error
    return bound


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _bind_problem(where: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where} is in use: stop what listens there, or choose another address with --listen"
        )
    if error.errno == errno.EPERM:
        return (
            f"this process may not listen on {where}; the sandbox of a service leaves that to its "
            "socket units: `systemctl status pypicached.socket pypicached-control.socket` says "
            "why they do not"
        )
    return f"cannot listen on {where}: {error.strerror}"
