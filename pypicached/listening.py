"""The daemon's listening sockets: those that systemd hands over, and for the rest our own.

What is handed over wins over the settings, kind by kind: `public` (TCP and Unix, any number) and
`control` (one, Unix). It stays systemd's: it is never bound, chowned or unlinked here, and closing
our descriptor ends nothing, so that clients who come while the daemon restarts wait in the kernel's
queue for the next process. `shutdown` on it would close that queue too: nobody may call it.
"""

from __future__ import annotations

import contextlib
import grp
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from pypicached import dropins
from pypicached.dropins import Where
from pypicached.errors import StartError
from pypicached.host import bind_tcp, bind_unix

PUBLIC, CONTROL = "public", "control"
# The group whose members may use the system's control socket (PRODUCT.md section 3).
GROUP = "pypicached"
# The kernel's queue of a handed-over socket holds clients while nobody accepts. As long as the
# system allows (listen(2)), which is also what systemd makes it.
LONGEST_QUEUE = 2**31 - 1

_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


class Handed(msgspec.Struct, frozen=True):
    """What systemd has handed over."""

    public: tuple[socket.socket, ...] = ()
    control: socket.socket | None = None

    @property
    def decides(self) -> frozenset[str]:
        """The settings in whose place it stands: no restart of the daemon alone changes that."""
        keys = {"server.listen": bool(self.public), "server.control_socket": bool(self.control)}
        return frozenset(key for key, handed in keys.items() if handed)


def take_handed(found: Mapping[str, Sequence[int]], stack: contextlib.AsyncExitStack) -> Handed:
    """Make sockets of descriptors by name; `stack` closes them. Raises StartError."""
    taken = {name: [_take(name, fd, stack) for fd in found[name]] for name in found}
    for name, sockets in taken.items():
        if name not in (PUBLIC, CONTROL):
            raise StartError(
                f'systemd handed over {address_of(sockets[0])} as "{name}": the names known here '
                f"are {PUBLIC} and {CONTROL}; set FileDescriptorName= in its socket unit"
            )
    controls = taken.get(CONTROL, [])
    if len(controls) > 1:
        raise StartError(
            f'systemd handed over {len(controls)} sockets as "{CONTROL}": only one can be'
        )
    if controls and controls[0].family != socket.AF_UNIX:
        raise StartError(
            f'systemd handed over {address_of(controls[0])} as "{CONTROL}": commands are taken on '
            "a Unix socket only, which knows who calls"
        )
    return Handed(tuple(taken.get(PUBLIC, [])), controls[0] if controls else None)


def _take(name: str, descriptor: int, stack: contextlib.AsyncExitStack) -> socket.socket:
    try:
        taken = socket.socket(fileno=descriptor)
    except OSError:
        raise StartError(f"{_told(name, descriptor)}: that is no socket") from None
    stack.callback(taken.close)
    listening = taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if taken.type != socket.SOCK_STREAM or taken.family not in _FAMILIES or not listening:
        raise StartError(
            f"{_told(name, descriptor)}: that is no socket which listens for streams; its unit "
            "wants ListenStream=, and no Accept=yes"
        )
    taken.setblocking(False)
    return taken


def _told(name: str, descriptor: int) -> str:
    return f'systemd handed over descriptor {descriptor} as "{name}"'


def open_public(
    listen: Iterable[Where], handed: Handed, stack: contextlib.AsyncExitStack
) -> list[socket.socket]:
    """Return the public sockets: handed over, else bound. Raises StartError."""
    if handed.public:
        return list(handed.public)
    bound = [one for where in listen for one in _bind(where, stack)]
    if not bound:
        raise StartError("none of the addresses in [server] listen can be used on this host")
    return bound


def _bind(where: Where, stack: contextlib.AsyncExitStack) -> list[socket.socket]:
    if isinstance(where, Path):
        bound: socket.socket | None = bind_unix(where, 0o666)
        stack.callback(where.unlink, missing_ok=True)
    else:
        bound = bind_tcp(*where)
    return [] if bound is None else [bound]


def open_control(
    path: Path, handed: Handed, gid: int | None, stack: contextlib.AsyncExitStack
) -> socket.socket:
    """Return the control socket: handed over, else at `path`, for our user and the group `gid`."""
    if handed.control is not None:
        return handed.control
    bound = bind_unix(path, 0o660)
    stack.callback(path.unlink, missing_ok=True)
    if gid is not None:
        with contextlib.suppress(PermissionError):
            os.chown(path, -1, gid)
    return bound


def find_group() -> int | None:
    """Return the id of the group that may use the control socket, or None on a host without."""
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None


def address_of(bound: socket.socket) -> str:
    """Return a listener as a client writes it; "unix:…" for a Unix socket."""
    if bound.family == socket.AF_UNIX:
        return f"unix:{_path_of(bound)}"
    name = bound.getsockname()
    host = f"[{name[0]}]" if bound.family == socket.AF_INET6 else name[0]
    return f"http://{host}:{name[1]}"


def _path_of(bound: socket.socket) -> str:
    name = bound.getsockname()
    # unix(7): a leading NUL is the abstract namespace, which systemd and people spell as @.
    if isinstance(name, bytes):
        return "@" + name[1:].decode(errors="replace")
    # A path need not be UTF-8, and what is told of it has to be.
    return os.fsencode(name).decode(errors="replace")


def describe_differences(
    handed: Handed, listen: Sequence[Where] | None, control: Path | None
) -> list[str]:
    """Say where the settings ask for something else than systemd's sockets are, and the remedy.

    None for a setting that nobody has made: then what is handed over is as good as any.
    """
    hints = []
    if handed.public and listen is not None:
        hints.append(dropins.compare_public(listen, [_stream_of(one) for one in handed.public]))
    if handed.control is not None and control is not None:
        hints.append(dropins.compare_control(control, [_stream_of(handed.control)]))
    return [hint.paragraph for hint in hints if hint is not None]


def _stream_of(bound: socket.socket) -> str:
    if bound.family == socket.AF_UNIX:
        return _path_of(bound)
    host, port = bound.getsockname()[:2]
    return dropins.stream_of((host, port))
