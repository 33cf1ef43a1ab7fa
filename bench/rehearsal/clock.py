"""A daemon whose clock can jump while it runs: libfaketime, told by a file.

Its monotonic clock goes on, as it does when a machine's time is set (clock_gettime(2)).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench.rehearsal.stage import NotPossibleError, Stage, publish, running
from tests.fake.threaded import ThreadedFakeUpstream

# Debian's package libfaketime, on every architecture; not the library for threaded programs, which
# the package has for those that ask the clock before they are loaded.
_PLACES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")


@contextlib.contextmanager
def jumping(directory: Path, jump: str) -> Iterator[Stage]:
    """Make a stage whose index is down and whose clock jumps (`+1d`) and stays there."""
    setting = directory / "clock"
    setting.write_text("+0\n")
    environment = {
        "LD_PRELOAD": _library(),
        "FAKETIME_TIMESTAMP_FILE": str(setting),
        "FAKETIME_NO_CACHE": "1",
        # The newer and the older name of one setting.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    with ThreadedFakeUpstream() as upstream:
        publish(upstream)
        with running(directory, upstream.url, environment=environment) as daemon:

            def strike() -> None:
                upstream.down()
                setting.write_text(f"{jump}\n")

            yield Stage(upstream, daemon, strike, upstream.up)


def _library() -> str:
    found = [path for place in _PLACES for path in Path("/").glob(place.lstrip("/"))]
    if not found:
        raise NotPossibleError("needs libfaketime (Debian's package of that name)")
    return str(found[0])
