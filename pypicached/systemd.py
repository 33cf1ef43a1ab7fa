"""The service manager's side of things: readiness, handed-over sockets, the watchdog.

The protocols are those of sd_notify(3), sd_listen_fds(3) and sd_watchdog_enabled(3). Without
systemd each function says so by its answer, and nothing happens.
"""

from __future__ import annotations

import asyncio
import collections
import os
import socket
from collections.abc import Mapping, MutableMapping

from pypicached.errors import StartError

# How the STATUS= of a daemon opens that could not start; the reason follows.
FAILED = "failed: "
# SD_LISTEN_FDS_START of sd_listen_fds(3).
_FIRST_DESCRIPTOR = 3
# What sd_listen_fds_with_names(3) calls a socket without FileDescriptorName=.
_UNNAMED = "unknown"
# How soon a queue that was full is tried again.
RETRY_SECONDS = 0.1
_HANDED = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


def notify(state: str, env: Mapping[str, str] = os.environ) -> bool:
    """Tell the service manager `state` (`READY=1`, `STOPPING=1` …); True if it was handed over.

    Never raises: a manager that does not listen must not stop the daemon.
    """
    try:
        return _send(state, env)
    except BlockingIOError:
        return False


class Outbox:
    """Hands over states that the service manager must hear, in order, also where its queue is full.

    The queue is everybody's, so anyone's flood fills it. What is said again soon (`STATUS=`,
    `WATCHDOG=1`) need not go this way.
    """

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        self._env = env
        # Of a manager that has hung for long only the last words count.
        self._waiting: collections.deque[str] = collections.deque(maxlen=16)
        self._full = asyncio.Event()

    def put(self, state: str) -> None:
        """Tell the service manager `state`, now or as soon as it can hear it. Never raises."""
        self._waiting.append(state)
        self._push()

    async def run(self) -> None:
        """Send what could not be sent at once, until cancelled."""
        while True:
            await self._full.wait()
            await asyncio.sleep(RETRY_SECONDS)
            self._push()

    def _push(self) -> None:
        self._full.clear()
        while self._waiting:
            try:
                _send(self._waiting[0], self._env)
            except BlockingIOError:
                self._full.set()
                return
            self._waiting.popleft()


def _send(state: str, env: Mapping[str, str]) -> bool:
    """Return whether anybody got it. Raises BlockingIOError where the queue is full."""
    address = env.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    # unix(7): a leading NUL is the abstract namespace, which the variable spells as @.
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        # A full queue must not hold up the event loop.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            channel.connect(target)
            channel.sendall(state.encode())
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def is_service(env: Mapping[str, str] = os.environ) -> bool:
    """Tell whether this process is a service's own, and may be in its sandbox.

    Not by `INVOCATION_ID`, which a shell of a desktop session has too (systemd.exec(5)).
    """
    return env.get("SYSTEMD_EXEC_PID") == str(os.getpid()) or "NOTIFY_SOCKET" in env


def listen_fds(env: MutableMapping[str, str] = os.environ) -> dict[str, list[int]]:
    """Return the sockets that systemd hands over, by their name, and keep children from them.

    Empty if there are none, or if they are meant for another process. The variables go out of `env`
    either way, so that no child takes other descriptors for sockets. StartError if a descriptor is
    not open.
    """
    handed = {name: env.pop(name) for name in _HANDED if name in env}
    count = _positive(handed.get("LISTEN_FDS"))
    if count is None or handed.get("LISTEN_PID") != str(os.getpid()):
        return {}
    names = handed.get("LISTEN_FDNAMES", "").split(":")
    found: dict[str, list[int]] = {}
    for position in range(count):
        descriptor = _FIRST_DESCRIPTOR + position
        _keep_from_children(descriptor)
        name = (names[position] if position < len(names) else "") or _UNNAMED
        found.setdefault(name, []).append(descriptor)
    return found


def watchdog_seconds(env: Mapping[str, str] = os.environ) -> float | None:
    """Return within how many seconds `WATCHDOG=1` is due, or None if nobody waits for it.

    sd_watchdog_enabled(3) advises to send it in half that time.
    """
    microseconds = _positive(env.get("WATCHDOG_USEC"))
    if microseconds is None or env.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return microseconds / 1_000_000


def _keep_from_children(descriptor: int) -> None:
    try:
        os.set_inheritable(descriptor, False)
    except OSError:
        raise StartError(
            f"systemd announced a socket as descriptor {descriptor}, but it is not open; "
            "unset LISTEN_FDS if systemd did not start this"
        ) from None


def _positive(text: str | None) -> int | None:
    """Return a number above zero, or None for anything else."""
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 18:
        return None
    return int(text) or None
