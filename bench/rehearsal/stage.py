"""Where a scenario plays: a fake index, a daemon in front of it, and how the fault comes and goes.

A stage is made by a context manager that ends what it has started. What this machine cannot do is
`NotPossibleError`, never a fault that is played by half.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.rehearsal.promises import NEGATIVE_TTL_SECONDS, PAGE_TTL_SECONDS
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import DistFile, make_wheel
from tests.fake.wire import Request

# project → version of what `pip install app` brings; all of it is cached before the fault.
WARMED = {"app": "1.0", "web": "3.1", "lib": "2.1", "tool": "0.3", "core": "1.4", "base": "5.0"}
ROOT = "app"
# Nobody has asked for it before the fault.
UNKNOWN = "rare"
# Listed on warmed pages, but never fetched before the fault: one at a time of each kind, up to
# 64 KiB (held back whole until verified) and above (streamed while it arrives).
COLD = {"tool": "0.2", "lib": "2.0"}

_REQUIRES = {"app": ["web", "lib>=2", "tool"], "web": ["core"], "tool": ["base"]}
# Above 64 KiB a file is streamed while it arrives.
_SIZES = {"lib": 150_000, "core": 300_000}

Pattern = str | Callable[[Request], bool]


class NotPossibleError(Exception):
    """This machine lacks what the scenario needs; the message says what."""


@dataclass(frozen=True)
class Stage:
    """A running fake index and daemon; `strike` begins the fault and `lift` ends it."""

    upstream: ThreadedFakeUpstream
    daemon: DaemonProcess
    strike: Callable[[], object]
    lift: Callable[[], object]


@functools.cache
def files_of(project: str) -> tuple[DistFile, ...]:
    """Return what is published of a project: the warmed version first, then the cold one."""
    requires, size = _REQUIRES.get(project, ()), _SIZES.get(project)
    versions = [WARMED[project], *([COLD[project]] if project in COLD else [])]
    return tuple(make_wheel(project, v, requires=requires, size_bytes=size) for v in versions)


@functools.cache
def news_of(project: str) -> DistFile:
    """Return what is published once the fault is over: a page that lists it is a new one."""
    return make_wheel(project, "99.0")


@functools.cache
def unknown_file() -> DistFile:
    """Return the one file of the unknown project."""
    return make_wheel(UNKNOWN, "1.0")


def publish(upstream: ThreadedFakeUpstream) -> None:
    """Publish what is to be warmed, with older versions beside it, and what is not."""
    for project in WARMED:
        upstream.add(project, *files_of(project))
    upstream.add(UNKNOWN, unknown_file())


def publish_news(upstream: ThreadedFakeUpstream) -> None:
    """Publish one more version of each warmed project."""
    for project in WARMED:
        upstream.add(project, news_of(project))


@contextlib.contextmanager
def running(
    directory: Path,
    index_url: str,
    *,
    index: Mapping[str, str] | None = None,
    within: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[DaemonProcess]:
    """Run the daemon on an empty cache; `index` are further keys of its `[[index]]`."""
    keys = {"name": "pypi", "url": index_url, **(index or {})}
    lines = [
        "[cache]",
        f'page_ttl = "{PAGE_TTL_SECONDS}s"',
        f'negative_ttl = "{NEGATIVE_TTL_SECONDS}s"',
        "[[index]]",
        # A JSON string is a TOML string.
        *(f"{key} = {json.dumps(value)}" for key, value in keys.items()),
    ]
    configuration = directory / "pypicached.toml"
    configuration.write_text("\n".join([*lines, ""]))
    daemon = DaemonProcess(directory, **(environment or {}))
    try:
        yield daemon.start("--config", str(configuration), within=within)
    finally:
        daemon.close()


@contextlib.contextmanager
def struck_by(
    directory: Path, *faults: tuple[Pattern, str, Mapping[str, object]]
) -> Iterator[Stage]:
    """Make a stage whose index goes wrong by these faults of the fake: pattern, kind, arguments."""
    with ThreadedFakeUpstream() as upstream:
        publish(upstream)

        def strike() -> None:
            for pattern, kind, arguments in faults:
                upstream.fault(pattern, kind, **arguments)  # type: ignore[arg-type]

        with running(directory, upstream.url) as daemon:
            yield Stage(upstream, daemon, strike, upstream.heal)


@contextlib.contextmanager
def refused(directory: Path) -> Iterator[Stage]:
    """Make a stage whose index is down: no one listens."""
    with ThreadedFakeUpstream() as upstream:
        publish(upstream)
        with running(directory, upstream.url) as daemon:
            yield Stage(upstream, daemon, upstream.down, upstream.up)


@contextlib.contextmanager
def lapsed(directory: Path) -> Iterator[Stage]:
    """Make a stage whose index, pages and files, takes the daemon's password no longer."""
    known = ("builder", "before")
    with ThreadedFakeUpstream(auth=known, auth_files=True, separate_files=False) as upstream:
        publish(upstream)
        credentials = dict(zip(("username", "password"), known, strict=True))
        with running(directory, upstream.url, index=credentials) as daemon:
            yield Stage(
                upstream,
                daemon,
                lambda: upstream.require(("builder", "after")),
                lambda: upstream.require(known),
            )
