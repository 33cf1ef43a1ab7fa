"""Plays one scenario from an empty cache to its recovery, and writes down what was seen."""

from __future__ import annotations

import io
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench.rehearsal.asking import Watch, ask_for, path_of
from bench.rehearsal.judging import judge
from bench.rehearsal.promises import RECOVERY_SECONDS
from bench.rehearsal.scenarios import Scenario
from bench.rehearsal.seen import Answer, Install, Row, Seen
from bench.rehearsal.stage import (
    COLD,
    ROOT,
    UNKNOWN,
    WARMED,
    NotPossibleError,
    Stage,
    files_of,
    publish_news,
    unknown_file,
    wait_until_noticed,
)
from bench.rehearsal.words import short
from tests.e2e.clients import Client
from tests.fake.wheels import DistFile

# A client that has not ended by then never does, for a build.
LIMIT_SECONDS = 100.0
# An address that the daemon has resolved is good for ten seconds.
NOTICE_SECONDS = 20.0
PAUSE_SECONDS = 0.2

Tell = Callable[[str], None]


def play(scenario: Scenario, directory: Path, tools: Sequence[str], tell: Tell) -> Row:
    """Play the scenario in an empty directory with these clients ("pip", "uv")."""
    began = time.monotonic()
    not_tried, seen = None, None
    try:
        with scenario.open(directory) as stage:
            seen = Play(scenario, stage, directory, tools, tell).run()
    except NotPossibleError as error:
        not_tried = str(error)
    return Row(
        scenario=scenario.name,
        title=scenario.title,
        seconds=time.monotonic() - began,
        seen=seen,
        problems=judge(scenario.expected, seen) if seen else [],
        not_tried=not_tried,
    )


class Play:
    """One scenario on its stage, step by step."""

    def __init__(
        self, scenario: Scenario, stage: Stage, directory: Path, tools: Sequence[str], tell: Tell
    ) -> None:
        self._scenario = scenario
        self._stage = stage
        self._directory = directory
        self._tools = tools
        self._tell = tell

    def run(self) -> Seen:
        """Warm, strike, see, lift, and see again."""
        daemon, base = self._stage.daemon, self._stage.daemon.url
        self._warm()
        # Known from the pages before the fault; of the cold ones nothing is fetched yet.
        warmed = {file: path_of(base, file) for file in map(_warmed_file, WARMED)}
        cold = {file: path_of(base, file) for file in map(_cold_file, COLD)}
        self._tell("the fault begins")
        self._stage.strike()
        if self._stage.noticed_late:
            wait_until_noticed(daemon, NOTICE_SECONDS)
        # Their time is over, as after a night: each is to be asked for anew.
        daemon.ask("invalidate", "--all")
        with Watch(base) as watch:
            installs = {tool: self._install(tool, ROOT) for tool in self._tools}
            unknown = {tool: self._install(tool, UNKNOWN) for tool in self._tools}
            unknown_page = ask_for(base, f"/simple/{UNKNOWN}/")
            cold_answers = _ask_all(base, cold.items())
            cached_answers = _ask_all(base, warmed.items())
            status = daemon.ask("status")
            self._tell("the fault ends")
            recovered = self._recover(watch, cold)
            pages = watch.pages(absent_is_right=self._scenario.expected.pages == "gone")
        return Seen(
            warmed=installs,
            unknown=unknown,
            unknown_page=unknown_page,
            cold=cold_answers,
            cached=cached_answers,
            pages=pages,
            index_state=status["indexes"][0]["state"],
            index_error=status["indexes"][0]["last_error"] or "",
            failures=[f"{failure['what']}: {failure['reason']}" for failure in status["failures"]],
            recovered_seconds=recovered,
        )

    def _warm(self) -> None:
        """Install once with one client; it has to succeed."""
        self._tell("warming")
        done = self._install(self._tools[0], ROOT, step="warming")
        if done.code != 0 or done.wrong:
            raise RuntimeError(f"nothing to rehearse with: {done.wrong}\n{done.output}")
        self._stage.daemon.settle()

    def _install(self, tool: str, project: str, step: str = "struck") -> Install:
        """Install with a client that has nothing of its own yet."""
        self._tell(f"{tool} installs {project}")
        home = self._directory / f"{step}-{tool}-{project}"
        client = Client(home, self._stage.daemon.simple_url, seconds=LIMIT_SECONDS)
        target = home / "target"
        run = {"pip": client.pip, "uv": client.uv}[tool]
        command = {"pip": "install", "uv": "pip install"}[tool]
        began = time.monotonic()
        try:
            done = run(command, "--target", str(target), project)
        except subprocess.TimeoutExpired:
            seconds = time.monotonic() - began
            return Install(code=None, seconds=seconds, said="did not end")
        seconds, output = time.monotonic() - began, done.stdout + done.stderr
        wrong = []
        if done.returncode == 0:
            wanted = [unknown_file()] if project == UNKNOWN else map(_warmed_file, WARMED)
            wrong = [w for file in wanted for w in wrong_in(target, file)]
        return Install(
            code=done.returncode,
            seconds=seconds,
            said="" if done.returncode == 0 else short(tool, done.stderr),
            output=output,
            wrong=wrong,
        )

    def _recover(self, watch: Watch, cold: dict[DistFile, str]) -> float | None:
        """End the fault; return after how long all is as upstream has it, nobody doing anything."""
        base = self._stage.daemon.url
        lifted_at = time.monotonic()
        publish_news(self._stage.upstream)
        self._stage.lift()
        left = dict(cold)
        unknown = False
        while (gone := time.monotonic() - lifted_at) < RECOVERY_SECONDS:
            left = {f: p for f, p in left.items() if ask_for(base, p, f.body).body != "right"}
            unknown = unknown or ask_for(base, f"/simple/{UNKNOWN}/").status == 200
            if unknown and not left and watch.renewed_since(lifted_at):
                return gone
            time.sleep(PAUSE_SECONDS)
        return None


def wrong_in(target: Path, wheel: DistFile) -> list[str]:
    """Return which files of a wheel are not in `target`, or there with other bytes."""
    wrong = []
    with zipfile.ZipFile(io.BytesIO(wheel.body)) as archive:
        for name in archive.namelist():
            if name.endswith("/RECORD"):
                continue  # an installer adds its own lines
            path = target / name
            if not path.is_file() or path.read_bytes() != archive.read(name):
                wrong.append(f"{name} otherwise than published")
    return wrong


def _warmed_file(project: str) -> DistFile:
    return files_of(project)[0]


def _cold_file(project: str) -> DistFile:
    return files_of(project)[1]


def _ask_all(base: str, files: Iterable[tuple[DistFile, str]]) -> dict[str, Answer]:
    return {file.filename: ask_for(base, path, file.body) for file, path in files}
