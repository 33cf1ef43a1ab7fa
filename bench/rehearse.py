"""Rehearse the outage: does a build go on when the upstream does not?

For each scenario a daemon in front of a fake index is warmed by a real client; then the index goes
wrong, and the real pip and uv install what is cached and ask for what is not, while every page is
asked for all the time. Then the fault ends, and all has to be right again within one TTL, nobody
doing anything. Prints a table; exit code 1 if a line is not as promised (`rehearsal.promises`), 2
for wrong usage.

Each scenario is a process of its own, ended by its pid, in a directory that goes with it.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import msgspec

from bench.processes import REPOSITORY
from bench.rehearsal.playing import play
from bench.rehearsal.scenarios import SCENARIOS, Scenario
from bench.rehearsal.seen import Row
from bench.rehearsal.table import render, summary

TOOLS = ("pip", "uv")
# Scenarios wait more than they work: two cores carry five.
JOBS = 5
POLL_SECONDS = 0.1
# A scenario that was told to end has its client and its daemon to kill.
END_SECONDS = 20.0


def main() -> int:
    """Rehearse and print."""
    options = parse_arguments(sys.argv[1:])
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        if options.play is not None:
            return _play_one(options)
        return _rehearse(options)
    except KeyboardInterrupt:
        print("rehearsal: interrupted", file=sys.stderr)
        return 130


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(
        prog="python -m bench.rehearse",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=names,
        metavar="SCENARIO",
        help=f"this one alone; may be repeated: {', '.join(names)}",
    )
    parser.add_argument("--quick", action="store_true", help="a few scenarios, with uv alone")
    parser.add_argument("--jobs", type=int, default=JOBS, help="scenarios at a time")
    parser.add_argument("--json", type=Path, help="write all that was seen to this file")
    # For ourselves: play one scenario in a directory and write its row there.
    parser.add_argument("--play", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _rehearse(options: argparse.Namespace) -> int:
    began = time.monotonic()
    chosen = [s for s in SCENARIOS if s.quick or not options.quick]
    if options.only:
        chosen = [s for s in SCENARIOS if s.name in options.only]
    # A short path: the directories hold Unix sockets.
    with tempfile.TemporaryDirectory(prefix="rehearse-") as scratch:
        rows = _play_all(chosen, Path(scratch), options)
    order = [scenario.name for scenario in chosen]
    rows.sort(key=lambda row: order.index(row.scenario))
    print(render(rows, _tools(options)))
    print(summary(rows, time.monotonic() - began))
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(rows)))
    return 1 if any(row.problems for row in rows) else 0


def _play_all(chosen: Sequence[Scenario], scratch: Path, options: argparse.Namespace) -> list[Row]:
    """Play every scenario, a few at a time; none outlives this call."""
    waiting, rows = list(chosen), []
    running: dict[Scenario, subprocess.Popen[bytes]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < max(1, options.jobs):
                scenario = waiting.pop(0)
                running[scenario] = _start(scenario, scratch / scenario.name, options)
            time.sleep(POLL_SECONDS)
            for scenario in [s for s, process in running.items() if process.poll() is not None]:
                rows.append(_row_of(scenario, running.pop(scenario), scratch / scenario.name))
                verdict = "NOT as promised" if rows[-1].problems else "done"
                _tell(scenario, f"{verdict} ({len(rows)} of {len(chosen)})")
    finally:
        _end(list(running.values()))
    return rows


def _start(
    scenario: Scenario, directory: Path, options: argparse.Namespace
) -> subprocess.Popen[bytes]:
    directory.mkdir()
    line = [sys.executable, "-m", "bench.rehearse", "--only", scenario.name]
    line += ["--play", str(directory), *(["--quick"] if options.quick else [])]
    # In a session of its own it is ended by us, not by the terminal's Ctrl-C as well.
    return subprocess.Popen(line, cwd=REPOSITORY, start_new_session=True)


def _row_of(scenario: Scenario, process: subprocess.Popen[bytes], directory: Path) -> Row:
    """Return what the scenario has written down; if it could not, that is the problem."""
    written = directory / "row.json"
    if process.returncode == 0:
        return msgspec.json.decode(written.read_bytes(), type=Row)
    problem = f"the rehearsal itself broke (exit code {process.returncode}), see above"
    return Row(scenario=scenario.name, title=scenario.title, problems=[problem])


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            # Its daemon and its client with it: the session is its own.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _play_one(options: argparse.Namespace) -> int:
    (name,) = options.only
    scenario = next(s for s in SCENARIOS if s.name == name)
    try:
        row = play(scenario, options.play, _tools(options), lambda text: _tell(scenario, text))
    except Exception:  # noqa: BLE001 - told whole; the exit code says that there is no row
        traceback.print_exc()
        return 1
    (options.play / "row.json").write_bytes(msgspec.json.encode(row))
    return 0


def _tools(options: argparse.Namespace) -> Sequence[str]:
    return TOOLS[1:] if options.quick else TOOLS


def _tell(scenario: Scenario, text: str) -> None:
    # One write per line: several processes share the terminal.
    os.write(sys.stderr.fileno(), f"[{scenario.name}] {text}\n".encode())


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
