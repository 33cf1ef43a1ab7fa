"""A daemon with a mine, its index, and the walk that kills it before each step of something."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from pypicached.errors import ControlError
from tests.crash.mined import MinedDaemon
from tests.crash.whole import control_of, wrong_in
from tests.fake import DistFile
from tests.fake.threaded import ThreadedFakeUpstream


class Stage:
    """What is published, and whom to ask; a new project every time."""

    def __init__(self, upstream: ThreadedFakeUpstream, daemon: MinedDaemon) -> None:
        self.upstream = upstream
        self.daemon = daemon
        self.control = control_of(daemon)
        self.number = 0
        self.died_before = ""
        self.published: dict[str, list[DistFile]] = {}

    @property
    def project(self) -> str:
        """The project of this time."""
        return f"p{self.number}"

    def publish(self, project: str, *files: DistFile) -> None:
        """Put files on a project's page."""
        self.published[project] = list(files)
        self.upstream.add(project, *files)

    def fetch_all(self, project: str) -> None:
        """Fetch what a project has, sidecars too; each answer that is whole must be right."""
        paths = self.daemon.file_paths(project)
        for file in self.published[project]:
            path = paths[file.filename]
            if file.metadata is not None:
                assert self.daemon.get(f"{path}.metadata") == (200, file.metadata)
            assert self.daemon.get(path) == (200, file.body)

    def settle(self) -> None:
        """Return when nothing is on its way any more."""
        while self.control.status().downloads:
            pass


Part = Callable[[Stage], None]


@contextlib.contextmanager
def staged(directory: Path, upstream: ThreadedFakeUpstream, **environment: str) -> Iterator[Stage]:
    """Make a stage whose daemon is not yet started."""
    with contextlib.closing(MinedDaemon(directory, upstream.url, **environment)) as daemon:
        yield Stage(upstream, daemon)


def nothing(_stage: Stage) -> None:
    """There is nothing to do."""


def walk(
    stage: Stage, prepare: Part, act: Part, check: Part, *, least: int, mend: Part = nothing
) -> None:
    """Kill the daemon before each step of `act`, and look at what a new one makes of it.

    `mend` is what a person does first. There must be more than `least` steps.
    """
    stage.daemon.start()
    for step in itertools.count(1):
        stage.number += 1
        prepare(stage)
        stage.settle()
        if not _dies(stage, act, step):
            break
        stage.daemon.start()
        mend(stage)
        assert wrong_in(stage.daemon) == [], f"killed before {stage.died_before}"
        assert stage.control.status().problems == []
        check(stage)
        stage.settle()
    assert step > least, f"only {step} steps"


def walk_start(
    stage: Stage, prepare: Part, check: Part, *, least: int, problems: tuple[str, ...] = ()
) -> None:
    """Kill the daemon before each step of its start; `prepare` and `check` find it ended.

    `problems` are words of what may be told by the start that gets through.
    """
    for step in itertools.count(1):
        prepare(stage)
        if not _dies(stage, _start, step):
            stage.daemon.stop(signal.SIGKILL)
            break
        stage.daemon.start()
        assert wrong_in(stage.daemon) == [], f"killed before {stage.died_before}"
        told = stage.control.status().problems
        unexpected = [text for text in told if not any(word in text for word in problems)]
        assert unexpected == [], f"killed before {stage.died_before}"
        stage.daemon.stop(signal.SIGKILL)
        check(stage)
    assert step > least, f"only {step} steps"


def _start(stage: Stage) -> None:
    stage.daemon.start()


def _dies(stage: Stage, act: Part, before: int) -> bool:
    """Do something with a mine laid; return whether the daemon got as far as that."""
    stage.daemon.mine.lay(before)
    failure: Exception | None = None
    try:
        act(stage)
        stage.settle()
    # An answer that was broken off, or a daemon that died at its start.
    except (OSError, http.client.HTTPException, ControlError, AssertionError) as error:
        failure = error
    if stage.daemon.mine.steps < before:
        stage.daemon.mine.lay(0)
        if failure is not None:
            raise failure
        return False
    assert stage.daemon.wait() == -signal.SIGKILL
    stage.died_before = stage.daemon.mine.last
    stage.daemon.mine.lay(0)
    return True
