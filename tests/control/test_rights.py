"""Who may do what on the control socket."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pypicached.control.rights import Rights, peer_uid
from tests.control.daemon import FakeOperations, serving
from tests.others import PLAIN_PYTHON

_DAEMON, _OTHER, _GID = 990, 1000, 0
_NOBODY = 65534
_ASK = """
import socket, sys
body = b'{"days": 0, "projects": ["demo"]}' if sys.argv[2] == "POST" else b""
with socket.socket(socket.AF_UNIX) as stream:
    stream.connect(sys.argv[1])
    head = f"{sys.argv[2]} {sys.argv[3]} HTTP/1.1\\r\\nHost: x\\r\\n"
    head += f"Content-Length: {len(body)}\\r\\n\\r\\n"
    stream.sendall(head.encode() + body)
    sys.stdout.write(stream.recv(65536).decode())
"""


@pytest.mark.parametrize("uid", [0, _DAEMON])
@pytest.mark.parametrize("gid", [None, _GID])
def test_rights__root_and_the_daemon_itself(uid: int, gid: int | None) -> None:
    """Root and the daemon's own user may do everything."""
    assert Rights(_DAEMON, gid).refusal(uid, "POST", "/prune") is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/status"),
        ("GET", "/list/demo"),
        ("GET", "/pins"),
        ("GET", "/verify"),
        ("POST", "/invalidate"),
        ("POST", "/warm"),
    ],
)
def test_rights__group(method: str, path: str) -> None:
    """Members of the readers' group read, warm and invalidate."""
    assert Rights(_DAEMON, _GID).refusal(_OTHER, method, path) is None


@pytest.mark.parametrize(
    "path",
    [
        *("/prune", "/offline", "/pin", "/unpin", "/repair", "/backup", "/anything"),
        *("/invalidate/x", "/warm/pinned", "/reload"),
    ],
)
def test_rights__group_may_not_change(path: str) -> None:
    """Everything else is refused to the group, with a sentence that names who may."""
    refusal = Rights(_DAEMON, _GID).refusal(_OTHER, "POST", path) or ""
    words = "is for root (sudo) and uid 990; the group root may only read, warm and invalidate"
    assert refusal.endswith(words)


def test_rights__who_is_for_owners() -> None:
    """What clients fetched is not for the group: it tells of people, not of the cache."""
    refusal = Rights(_DAEMON, _GID).refusal(_OTHER, "GET", "/who")
    assert refusal == "who fetched what is personal: only root (sudo) and uid 990 may ask"
    assert Rights(_DAEMON, _GID).refusal(_DAEMON, "GET", "/who") is None


def test_rights__without_a_group() -> None:
    """A daemon without a readers' group answers nobody but its user and root."""
    refusal = Rights(_DAEMON, None).refusal(_OTHER, "GET", "/status")
    assert refusal == "this daemon is private: only root (sudo) and uid 990 may use it"


def test_peer_uid__own() -> None:
    """The kernel's word for a peer in this very process is our own uid."""
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        assert peer_uid(here) == os.geteuid()


@pytest.fixture
def shared_socket() -> Iterator[Path]:
    """Return the socket of a daemon that has a readers' group."""
    with serving(FakeOperations(), readers_gid=_GID) as path:
        yield path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "/status", 200),
        ("POST", "/invalidate", 200),
        ("POST", "/prune", 403),
        ("GET", "/who", 403),
    ],
)
def test_control__another_user(shared_socket: Path, method: str, url: str, status: int) -> None:
    """A real process of another user reads and invalidates, and is refused a prune."""
    answer = subprocess.run(
        [PLAIN_PYTHON, "-I", "-c", _ASK, str(shared_socket), method, url],
        user=_NOBODY, group=_NOBODY, extra_groups=[],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert answer.stdout.startswith(f"HTTP/1.1 {status} ")
