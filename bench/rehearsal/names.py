"""A daemon with names of its own: a mount namespace in which /etc/hosts can be changed.

The index is called by a name under `.invalid` (RFC 6761), which nothing outside resolves. Files of
this machine stay as they are: the daemon sees others in their place (mount_namespaces(7)).
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.rehearsal.stage import ROOT, NotPossibleError, Stage, publish, running
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream

HOST = "index.rehearsal.invalid"
# The daemon's HTTP client goes on using an address for ten seconds.
NOTICE_SECONDS = 20.0
PAUSE_SECONDS = 0.5
# As root, or as whoever may have a user namespace.
_WAYS = (("unshare", "--mount"), ("unshare", "--map-root-user", "--mount"))
_MOUNT = """\
for file in hosts resolv.conf nsswitch.conf; do
    if [ -e "/etc/$file" ]; then mount --bind "$0/$file" "/etc/$file" || exit 1; fi
done
exec "$@"
"""
# Loopback addresses for a name server: nobody listens at the one, nobody answers at the other.
_NOBODY, _MUTE = "127.53.0.1", "127.53.0.2"


class Names:
    """What the processes run by `within` resolve."""

    def __init__(self, directory: Path, name_server: str) -> None:
        directory.mkdir()
        self._hosts = directory / "hosts"
        self.set_known(True)
        (directory / "nsswitch.conf").write_text("hosts: files dns\n")
        (directory / "resolv.conf").write_text(f"nameserver {name_server}\n")
        self._directory = directory
        self.within = self._found()

    def set_known(self, known: bool) -> None:
        """Let the index's name be known or not; the file stays the same one, as it is mounted."""
        self._hosts.write_text(f"127.0.0.1 localhost{' ' + HOST if known else ''}\n")

    def _found(self) -> list[str]:
        for way in _WAYS:
            line = [*way, "sh", "-c", _MOUNT, str(self._directory)]
            # `getent hosts` would look for an IPv6 address first, and ask the name server.
            trial = [*line, "getent", "ahostsv4", HOST]
            if (
                shutil.which(way[0])
                and not subprocess.run(trial, capture_output=True, check=False).returncode
            ):
                return line
        raise NotPossibleError("needs a mount namespace (unshare): root, or user namespaces")


@contextlib.contextmanager
def unresolvable(directory: Path, *, mute: bool) -> Iterator[Stage]:
    """Make a stage whose index's name stops being known; `mute`: and nobody says so."""
    with contextlib.ExitStack() as held:
        if mute:
            held.enter_context(_mute_name_server())
        names = Names(directory / "etc", _MUTE if mute else _NOBODY)
        upstream = held.enter_context(ThreadedFakeUpstream(separate_files=False, links="relative"))
        publish(upstream)
        url = upstream.url.replace("127.0.0.1", HOST)
        daemon = held.enter_context(running(directory, url, within=names.within))

        def strike() -> None:
            names.set_known(False)
            _wait_until_noticed(upstream, daemon)

        yield Stage(upstream, daemon, strike, lambda: names.set_known(True))


def _wait_until_noticed(upstream: ThreadedFakeUpstream, daemon: DaemonProcess) -> None:
    """Return once a page is served stale; raises NotPossibleError if none ever is."""
    give_up_at = time.monotonic() + NOTICE_SECONDS
    while time.monotonic() < give_up_at:
        # A connection that is open needs no name.
        upstream.down()
        upstream.up()
        daemon.ask("invalidate", "--all")
        with daemon.asking(f"/simple/{ROOT}/") as answer:
            answer.read()
            if "detail=" in (answer.getheader("Cache-Status") or ""):
                return
        time.sleep(PAUSE_SECONDS)
    raise NotPossibleError("the daemon still reaches its index")


@contextlib.contextmanager
def _mute_name_server() -> Iterator[None]:
    """Hold the port of a name server, and never answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        try:
            server.bind((_MUTE, 53))
        except OSError as error:
            raise NotPossibleError("needs root: a name server has port 53") from error
        yield
