"""What the host does not allow: a sentence for each reason."""

from __future__ import annotations

import socket
import subprocess
import sys

# seccomp(2): what a service's SystemCallFilter=~bind does, EPERM for one call.
FORBIDDEN = """
import ctypes, os, struct, sys
number = {"x86_64": 49, "aarch64": 200}[os.uname().machine]
rules = ((0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7FFF0000))
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
filtered = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(program)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filtered, 0, 0) == 0
from pypicached.errors import StartError
from pypicached.host import bind_tcp
try:
    bind_tcp("127.0.0.1", int(sys.argv[1]))
except StartError as error:
    print(error)
"""


def bind_forbidden(port: int) -> str:
    """Return why a process that may not bind does not listen on `port`."""
    done = subprocess.run(
        [sys.executable, "-c", FORBIDDEN, str(port)], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_bind__forbidden() -> None:
    """A sandbox that forbids it is told as such, with where to look; one that is taken, too."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = bind_forbidden(port)
        assert told.startswith(f"another program listens on 127.0.0.1:{port}: stop it, or give ")
    told = bind_forbidden(port)
    assert told.startswith(f"this process may not listen on 127.0.0.1:{port}; the sandbox ")
