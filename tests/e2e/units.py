"""The service manager's part of socket activation: it holds the sockets, and hands them over.

The daemon gets them as systemd gives them: as descriptors from 3 on, named in its environment
(sd_listen_fds(3)). They are here before the daemon is, and stay when it ends.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

# Puts the descriptors that it was given in their places, and becomes the daemon: the same process.
_BECOME = """
import fcntl, os, sys
names, numbers, *line = sys.argv[1:]
high = [fcntl.fcntl(int(number), fcntl.F_DUPFD_CLOEXEC, 100) for number in numbers.split(",")]
for place, number in enumerate(high, start=3):
    os.dup2(number, place, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=names)
os.execv(line[0], line)
"""


class Units:
    """Sockets by the names of their units, in the order of their descriptors."""

    def __init__(self) -> None:
        self._held: list[tuple[str, socket.socket]] = []

    def hold(self, name: str, held: socket.socket) -> socket.socket:
        """Add a socket of any kind."""
        self._held.append((name, held))
        return held

    def tcp(self, name: str = "public", host: str = "127.0.0.1") -> str:
        """Add a listening TCP socket; return its URL."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        held = self.hold(name, socket.socket(family))
        held.bind((host, 0))
        held.listen(4096)
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{held.getsockname()[1]}"

    def unix(self, name: str, path: Path) -> None:
        """Add a listening Unix socket."""
        held = self.hold(name, socket.socket(socket.AF_UNIX))
        held.bind(str(path))
        held.listen(4096)

    @property
    def descriptors(self) -> list[int]:
        """What the daemon's process must inherit."""
        return [held.fileno() for _, held in self._held]

    def within(self) -> list[str]:
        """Return the command that runs another one with the sockets; none without sockets."""
        if not self._held:
            return []
        names = ":".join(name for name, _ in self._held)
        numbers = ",".join(map(str, self.descriptors))
        return [sys.executable, "-c", _BECOME, names, numbers]

    def close(self) -> None:
        """Let go of all of them."""
        for _, held in self._held:
            held.close()
