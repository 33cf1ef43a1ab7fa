"""`pypicached warm` against `pip download` of the same set, with an upstream that is 50 ms away.

A tree of 60 projects with sidecars. `pip download` fetches it straight from the index, one file
after another as it does; `warm` brings it into an empty cache, and then once more when all of it is
there. The ratios are what counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import targets
from bench.figures import print_table, shown, write_json
from bench.processes import REPOSITORY, TargetError
from bench.resolve import PROJECTS, publish
from tests.fake.threaded import ThreadedFakeUpstream

TIME_LIMIT_SECONDS = 300


def seconds_of(line: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """Run a command that has to succeed; return (seconds, its output). Raises TargetError."""
    began = time.perf_counter()
    done = subprocess.run(
        line,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_SECONDS,
        cwd=REPOSITORY,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise TargetError(f"{line[2]} failed:\n{done.stderr[-2000:]}")
    return seconds, done.stdout


def download(upstream: ThreadedFakeUpstream, home: Path) -> float:
    """Return what pip takes for all of it."""
    home.mkdir(parents=True)
    where = home / "wheels"
    line = [sys.executable, "-m", "pip", "download", "--no-cache-dir", "--quiet", "tree0"]
    line += ["--index-url", upstream.url, "--dest", str(where)]
    environment = {
        "HOME": str(home),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    seconds, _ = seconds_of(line, environment)
    if len(list(where.iterdir())) != PROJECTS:
        raise TargetError("pip did not bring the whole tree")
    return seconds


def warm(directory: Path) -> float:
    """Return what `warm` takes for all of it."""
    line = [sys.executable, "-m", "pypicached", "warm", "tree0", "--json"]
    environment = {
        "HOME": str(directory),
        "PYPICACHED_SOCKET": str(directory / "control.sock"),
    }
    seconds, out = seconds_of(line, environment)
    if len(json.loads(out)["items"]) != PROJECTS:
        raise TargetError("warm did not bring the whole tree")
    return seconds


def measure(upstream: ThreadedFakeUpstream, directory: Path) -> dict[str, float]:
    """Measure each once."""
    row = {"pip_seconds": download(upstream, directory / "pip")}
    with targets.pypicached(upstream.url, directory / "daemon"):
        row["cold_seconds"] = warm(directory / "daemon")
        row["again_seconds"] = warm(directory / "daemon")
    return row


def main() -> int:
    """Measure and print; exit code 1 if something failed, never for a duration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds per upstream answer")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch, ThreadedFakeUpstream() as upstream:
        publish(upstream)
        upstream.fault("*", "delay", seconds=options.latency)
        try:
            for number in range(options.rounds):
                rows.append(measure(upstream, Path(scratch) / str(number)))
        except TargetError as error:
            print(error, file=sys.stderr)
            return 1
    result = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    result["times_faster"] = result["pip_seconds"] / result["cold_seconds"]
    print_table(["", ""], [[name, shown(value)] for name, value in result.items()])
    write_json(options.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
