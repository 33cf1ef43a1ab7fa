"""Everything that is measured, running side by side: the upstream and all targets.

A target that cannot be started is told as absent, and everything else goes on.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import os
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import msgspec

from bench import peers, targets
from bench.bare import Ready, aiohttp
from bench.corpus import (
    APP_BYTES,
    FEW,
    HOT,
    HUGE,
    HUGE_HOT,
    LARGE_HOT,
    MANY,
    MEDIUM_BYTES,
    SMALL_BYTES,
    Corpus,
    Wheel,
)
from bench.heartbeat import Heartbeat
from bench.processes import TargetError, resident_bytes_of
from bench.targets import DAEMON, FILE_HEADERS, PAGE_HEADERS, Target
from bench.upstream import Upstream

NAMES = (DAEMON, "aiohttp", "nginx static", "nginx cache", "proxpi", "devpi")
# Who fetches from the upstream; the others have all from the start.
CACHES = (DAEMON, "nginx cache", "proxpi", "devpi")
# Cold pages and cold small files for each target and round.
COLD = 5
# What differs from one answer to the next.
_OF_THE_ANSWER = {"date", "connection", "transfer-encoding"}


class Options(msgspec.Struct, frozen=True):
    """How much is measured."""

    rounds: int
    seconds: float
    large_bytes: int
    quick: bool
    names: tuple[str, ...]


class Stage(msgspec.Struct):
    """What scenarios work with; `absent` says why a target is not among the running ones."""

    options: Options
    directory: Path
    upstream: Upstream
    wheels: dict[str, Wheel]
    heart: Heartbeat
    targets: dict[str, Target] = {}
    absent: dict[str, str] = {}
    # What each had in memory before it was asked for anything.
    start_bytes: dict[str, int] = {}

    @property
    def caches(self) -> list[Target]:
        """Those of the running targets that fetch from the upstream."""
        return [self.targets[name] for name in CACHES if name in self.targets]

    @property
    def direct(self) -> Target:
        """The upstream itself, as a target for pages."""
        return Target("direct", f"http://{self.upstream.pages}", 0)

    def direct_file(self, project: str) -> tuple[int, str]:
        """Return port and path of a project's wheel at the upstream."""
        port = urllib.parse.urlsplit(f"http://{self.upstream.files}").port
        return port or 0, f"/{self.wheels[project].path}"


@contextlib.contextmanager
def running(options: Options, directory: Path) -> Iterator[Stage]:
    """Publish, and start all that can be started; what was started ends with it."""
    with ExitStack() as stack:
        published = directory / "upstream"
        corpus = Corpus(published)
        wheels = _publish_wheels(corpus, options)
        upstream = stack.enter_context(Upstream(published))
        _publish_pages(corpus, options, wheels, upstream.files)
        heart = Heartbeat(directory / "heartbeat")
        stage = Stage(options, directory, upstream, wheels, heart)
        starts = _starts(stage)
        for name in (n for n in NAMES if n in options.names or n == DAEMON):
            print(f"starting {name}", file=sys.stderr)
            try:
                target = stack.enter_context(starts[name]())
                stage.targets[name] = target
                stage.start_bytes[name] = resident_bytes_of(target.pid)
            except TargetError as error:
                stage.absent[name] = str(error)
                print(f"{name}: {error}", file=sys.stderr)
        yield stage


def app(number: int) -> str:
    """Return the name of a project that is installed."""
    return f"app{number}"


def _publish_wheels(corpus: Corpus, options: Options) -> dict[str, Wheel]:
    sizes = {HOT: SMALL_BYTES, LARGE_HOT: options.large_bytes, "stream": options.large_bytes}
    for number in range(options.rounds):
        sizes |= {f"file-{number}-{k}": SMALL_BYTES for k in range(COLD)}
        sizes |= {f"slow-{number}-{k}": MEDIUM_BYTES for k in range(len(CACHES))}
        sizes[f"herd-{number}"] = options.large_bytes
        sizes[f"cut-{number}"] = MEDIUM_BYTES
    wheels = {project: corpus.publish_wheel(project, size) for project, size in sizes.items()}
    for number, size in enumerate(APP_BYTES):
        # A tree: what is asked for first needs the rest.
        needs = [app(n) for n in (2 * number + 1, 2 * number + 2) if n < len(APP_BYTES)]
        wheels[app(number)] = corpus.publish_wheel(app(number), size, needs)
    return wheels


def _publish_pages(corpus: Corpus, options: Options, wheels: dict[str, Wheel], files: str) -> None:
    for project, wheel in wheels.items():
        corpus.publish_page(project, [wheel], MANY if project == HOT else FEW, files)
    corpus.publish_page(HUGE_HOT, [], HUGE, files)
    for number in range(options.rounds):
        for k in range(COLD):
            corpus.publish_page(f"page-{number}-{k}", [], MANY, files)
        corpus.publish_page(f"crowd-{number}", [], MANY, files)
        corpus.publish_page(f"huge-json-{number}", [], HUGE, files)
        corpus.publish_page(f"huge-html-{number}", [], HUGE, files, html=True)
    corpus.publish_list()


def _starts(stage: Stage) -> dict[str, Callable[[], AbstractContextManager[Target]]]:
    directory, upstream = stage.directory, stage.upstream

    def start_daemon() -> AbstractContextManager[Target]:
        beat = directory / "heartbeat"
        settings = {"PYPICACHED_CACHE__MAX_SIZE": "unlimited"}
        return targets.pypicached(
            upstream.index_url, directory / "pypicached", settings, heartbeat=beat
        )

    def start_static() -> AbstractContextManager[Target]:
        _mirror(stage, directory / "static" / "www")
        return targets.nginx_static(directory / "static")

    return {
        DAEMON: start_daemon,
        "aiohttp": lambda: aiohttp(_routes(stage), directory / "aiohttp"),
        "nginx static": start_static,
        "nginx cache": lambda: targets.nginx_caching(
            upstream.pages, upstream.files, directory / "caching"
        ),
        "proxpi": lambda: _installed(peers.proxpi, upstream, directory / "proxpi"),
        "devpi": lambda: _installed(peers.devpi, upstream, directory / "devpi"),
    }


def _installed(
    start: Callable[[str, Path], AbstractContextManager[Target]], upstream: Upstream, where: Path
) -> AbstractContextManager[Target]:
    peers.install()
    return start(upstream.index_url, where)


# ── the yardsticks say what the daemon says ──────────────────────────────────────────────────


def _ask_daemon(stage: Stage, path: str, headers: dict[str, str]) -> tuple[dict[str, str], bytes]:
    """Return headers and body of the daemon's answer."""
    connection = http.client.HTTPConnection("127.0.0.1", stage.targets[DAEMON].port)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise TargetError(f"{path}: {answer.status}")
        told = {n: v for n, v in answer.getheaders() if n.lower() not in _OF_THE_ANSWER}
    return told, body


def _routes(stage: Stage) -> dict[str, Ready]:
    """Have the daemon answer, twice so that it is a hit, and return what it said."""
    daemon, where = stage.targets[DAEMON], stage.directory / "ready"
    where.mkdir()
    wheel, large = stage.wheels[HOT], stage.wheels[LARGE_HOT]
    small_path = daemon.file_path(HOT, wheel.filename)
    asked = {
        daemon.page_path(HOT): PAGE_HEADERS,
        daemon.page_path(HUGE_HOT): PAGE_HEADERS,
        daemon.page_path(LARGE_HOT): PAGE_HEADERS,
        small_path: FILE_HEADERS,
        small_path + ".metadata": FILE_HEADERS,
    }
    ready = {}
    for number, (path, headers) in enumerate(asked.items()):
        _ask_daemon(stage, path, headers)
        told, body = _ask_daemon(stage, path, headers)
        place = where / str(number)
        place.write_bytes(body)
        ready[path] = Ready(told, str(place))
    large_path = daemon.file_path(LARGE_HOT, large.filename)
    told, _ = _ask_daemon(stage, large_path, FILE_HEADERS)
    del told["Content-Length"]
    ready[large_path] = Ready(told, str(stage.directory / "upstream" / large.path), in_memory=False)
    return ready


def _mirror(stage: Stage, www: Path) -> None:
    """Lay out what a static server needs to say the same at the same paths."""
    daemon = stage.targets[DAEMON]
    projects = [HOT, HUGE_HOT, LARGE_HOT, *(app(number) for number in range(len(APP_BYTES)))]
    for project in projects:
        _, body = _ask_daemon(stage, daemon.page_path(project), PAGE_HEADERS)
        place = www / "simple" / project / "index.json"
        place.parent.mkdir(parents=True)
        place.with_name("index.json.gz").write_bytes(body)
        place.write_bytes(gzip.decompress(body))
        if project in stage.wheels:
            wheel = stage.wheels[project]
            path = urllib.parse.unquote(daemon.file_path(project, wheel.filename))
            for suffix in ("", ".metadata"):
                link = www / (path.lstrip("/") + suffix)
                link.parent.mkdir(parents=True, exist_ok=True)
                os.link(stage.directory / "upstream" / (wheel.path + suffix), link)
