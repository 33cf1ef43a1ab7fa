"""Plays one scenario from an empty cache to its recovery, and writes down what was seen."""

from __future__ import annotations

import contextlib
import io
import subprocess
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.rehearsal.asking import Asking, Watch, ask_for, path_of
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
)
from bench.rehearsal.words import short
from tests.e2e.clients import Client
from tests.fake.wheels import DistFile

# A client that has not ended by then never does, for a build.
LIMIT_SECONDS = 100.0
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
        # Their time is over, as after a night: each is to be asked for anew.
        daemon.ask("invalidate", "--all")
        with Watch(base) as watch:
            installs = {tool: self._install(tool, ROOT) for tool in self._tools}
            unknown = {tool: self._install(tool, UNKNOWN) for tool in self._tools}
            self._tell("plain requests")
            answers = _ask_all(base, {**cold, **warmed})
            unknown_page = ask_for(base, f"/simple/{UNKNOWN}/")
            status = daemon.ask("status")
            self._tell("the fault ends")
            recovered = self._recover(watch, cold)
            pages = watch.pages(absent_is_right=self._scenario.expected.pages == "gone")
        return Seen(
            warmed=installs,
            unknown=unknown,
            unknown_page=unknown_page,
            cold={file.filename: answers[file] for file in cold},
            cached={file.filename: answers[file] for file in warmed},
            pages=pages,
            index_state=status["indexes"][0]["state"],
            index_error=status["indexes"][0]["last_error"] or "",
            failures=[f"{failure['what']}: {failure['reason']}" for failure in status["failures"]],
            recovered=recovered,
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

    def _recover(self, watch: Watch, cold: dict[DistFile, str]) -> dict[str, float | None]:
        """End the fault; return after how long each thing is right, nobody doing anything."""
        base = self._stage.daemon.url
        wanted: dict[str, tuple[str, bytes | None]] = {
            f"the cold {file.filename}": (path, file.body) for file, path in cold.items()
        }
        wanted["the unknown page"] = (f"/simple/{UNKNOWN}/", None)
        pages = set() if self._scenario.expected.pages == "reachable" else set(WARMED)
        publish_news(self._stage.upstream)
        lifted_at = time.monotonic()
        self._stage.lift()
        recovered: dict[str, float | None] = {}
        with contextlib.ExitStack() as held:
            waits = {
                what: held.enter_context(Asking(base, *request)) for what, request in wanted.items()
            }
            while (gone := time.monotonic() - lifted_at) < RECOVERY_SECONDS:
                for project in (watch.renewed() & pages) - recovered.keys():
                    recovered[project] = gone
                if pages <= recovered.keys() and all(w.right_at for w in waits.values()):
                    break
                time.sleep(PAUSE_SECONDS)
            moments = {what: wait.right_at for what, wait in waits.items()}
        late = {f"the page of {project}": recovered.get(project) for project in sorted(pages)}
        return late | {what: at and at - lifted_at for what, at in moments.items()}


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


def _ask_all(base: str, files: Mapping[DistFile, str]) -> dict[DistFile, Answer]:
    """Ask for all at once: some may take as long as we watch."""
    with contextlib.ExitStack() as held:
        askings = {
            file: held.enter_context(Asking(base, path, file.body, once=True))
            for file, path in files.items()
        }
    return {file: asking.answer for file, asking in askings.items() if asking.answer}
