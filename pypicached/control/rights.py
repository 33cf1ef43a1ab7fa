"""Who may do what on the control socket, decided from the kernel's word about the caller.

The socket's mode decides who connects at all; here it is decided what a connected caller may do.
Nothing a caller sends can change who it is (unix(7), SO_PEERCRED).
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from typing import Final

# struct ucred of unix(7): pid, uid, gid.
_UCRED: Final = struct.Struct("3i")
# What tells of people, not of the cache: which host installs what is nobody else's to read.
_OWNERS_MAY_GET: Final = frozenset({"/who"})
# What a member of the readers' group may call beside reading.
_READERS_MAY_POST: Final = frozenset({"/invalidate", "/warm"})


def peer_uid(connection: socket.socket) -> int:
    """Return the uid of the process at the other end, as it was when it connected."""
    ucred = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, _ = _UCRED.unpack(ucred)
    return int(uid)


class Rights:
    """Decides by uid, method and path; immutable.

    Root and `own_uid` may do everything. Others connect thanks to the group `readers_gid`: they
    may warm, invalidate and read, but not what tells of clients. Without such a group they may do
    nothing, whatever the socket's mode.
    """

    def __init__(self, own_uid: int, readers_gid: int | None) -> None:
        self._own_uid = own_uid
        self._readers_gid = readers_gid

    def refusal(self, uid: int, method: str, path: str) -> str | None:
        """Return one sentence that names who may, or None if this caller may."""
        if uid in (0, self._own_uid):
            return None
        owners = "root (sudo)"
        if self._own_uid != 0:
            owners += f" and {_user(self._own_uid)}"
        if self._readers_gid is None:
            return f"this daemon is private: only {owners} may use it"
        if path in _OWNERS_MAY_GET:
            return f"who fetched what is personal: only {owners} may ask"
        if method in ("GET", "HEAD") or path in _READERS_MAY_POST:
            return None
        group = _group(self._readers_gid)
        command = path.strip("/") or method
        return f"{command} is for {owners}; the group {group} may only read, warm and invalidate"


def own_rights(readers_gid: int | None) -> Rights:
    """Return the rights for a daemon that runs as the calling process does."""
    return Rights(os.geteuid(), readers_gid)


def _user(uid: int) -> str:
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"uid {uid}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"gid {gid}"
