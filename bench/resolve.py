"""What resolving costs behind an index without sidecars: bytes of wheels, and time.

A tree of 60 projects on a fake index that speaks HTML only and offers no core metadata. `uv pip
compile` and `pip install --dry-run` resolve it straight from the index and through an empty
pypicached, in turn. The cache makes the metadata from a few ranges of each wheel.
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
from typing import Any

from bench.figures import print_table, shown, write_json
from bench.processes import TargetError
from bench.targets import pypicached
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel

PROJECTS = 60
# A mix like that of a web application with some compiled parts: 90 MB in all.
SIZES = [60_000] * 30 + [400_000] * 20 + [5_000_000] * 8 + [20_000_000] * 2
TIME_LIMIT_SECONDS = 300


def publish(upstream: ThreadedFakeUpstream) -> int:
    """Publish the tree; return the bytes of the wheels that a resolution chooses."""
    total = 0
    for number in range(PROJECTS):
        children = [n for n in (2 * number + 1, 2 * number + 2) if n < PROJECTS]
        wheel = make_wheel(
            f"tree{number}",
            "2.0",
            requires=[f"tree{child}>=1" for child in children],
            size_bytes=SIZES[number],
        )
        upstream.add(f"tree{number}", make_wheel(f"tree{number}", "1.0"), wheel)
        total += len(wheel.body)
    return total


def resolve(tool: str, index_url: str, home: Path) -> tuple[float, int]:
    """Resolve the tree with one client and an empty cache; return (seconds, projects found)."""
    home.mkdir(parents=True)
    requirements = home / "requirements.in"
    requirements.write_text("tree0\n")
    target = home / "target"
    uv = str(Path(sys.executable).parent / "uv")
    report = home / "report.json"
    commands = {
        "uv": [uv, "pip", "compile", "--no-cache", "--quiet", "--no-header", str(requirements)],
        "pip": [
            *(sys.executable, "-m", "pip", "install", "--dry-run", "--no-cache-dir", "--quiet"),
            *("--target", str(target), "--report", str(report), "-r", str(requirements)),
        ],
    }
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    began = time.perf_counter()
    done = subprocess.run(
        [*commands[tool], "--index-url", index_url],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_SECONDS,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise TargetError(f"{tool} failed:\n{done.stderr[-2000:]}")
    if tool == "uv":
        return seconds, sum("==" in line for line in done.stdout.splitlines())
    return seconds, len(json.loads(report.read_text())["install"])


def wheel_bytes(upstream: ThreadedFakeUpstream) -> int:
    """Return how many body bytes of wheels the index has sent."""
    return sum(r.sent_bytes for r in upstream.requests if r.path.endswith((".whl", ".metadata")))


def measure(tool: str, upstream: ThreadedFakeUpstream, directory: Path) -> dict[str, Any]:
    """Resolve once straight and once through an empty cache."""
    row: dict[str, Any] = {}
    upstream.clear()
    row["direct_seconds"], found = resolve(tool, upstream.url, directory / "direct")
    row["direct_wheel_bytes"] = wheel_bytes(upstream)
    with pypicached(upstream.url, directory / "daemon") as daemon:
        for name in ("cold", "warm"):
            upstream.clear()
            seconds, through = resolve(tool, daemon.index_url, directory / name)
            row[f"{name}_seconds"], row[f"{name}_wheel_bytes"] = seconds, wheel_bytes(upstream)
            if found != PROJECTS or through != PROJECTS:
                raise TargetError(f"{tool} found {found} and {through} of {PROJECTS} projects")
    return row


def main() -> int:
    """Measure and print; exit code 1 if a client failed, never for a duration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds per upstream answer")
    parser.add_argument("--rate", type=float, default=50e6, help="bytes/s per upstream body")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    results: dict[str, list[dict[str, Any]]] = {"uv": [], "pip": []}
    with (
        tempfile.TemporaryDirectory() as scratch,
        ThreadedFakeUpstream(style="html", sidecars="off") as upstream,
    ):
        total = publish(upstream)
        upstream.fault("*", "delay", seconds=options.latency)
        upstream.fault("*.whl", "throttle", rate=options.rate)
        try:
            for number in range(options.rounds):
                for tool, rows in results.items():
                    rows.append(measure(tool, upstream, Path(scratch) / f"{tool}-{number}"))
        except TargetError as error:
            print(error, file=sys.stderr)
            return 1
    summary = {tool: summarize(rows, total) for tool, rows in results.items()}
    show(summary, total)
    write_json(options.json, {"wheel_bytes": total, **summary})
    return 0


def summarize(rows: list[dict[str, Any]], total: int) -> dict[str, float]:
    """Return medians, and the ratios that count."""
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    return {
        **medians,
        "cold_share_of_wheels": medians["cold_wheel_bytes"] / total,
        "direct_share_of_wheels": medians["direct_wheel_bytes"] / total,
        "cold_ratio": medians["cold_seconds"] / medians["direct_seconds"],
        "warm_ratio": medians["warm_seconds"] / medians["direct_seconds"],
    }


def show(summary: dict[str, dict[str, float]], total: int) -> None:
    """Print a table, a column per client."""
    print(f"{PROJECTS} projects, {total / 1e6:.1f} MB of wheels, HTML index without sidecars\n")
    rows = next(iter(summary.values()))
    cells = [[name, *(shown(of_tool[name]) for of_tool in summary.values())] for name in rows]
    print_table(["", *summary], cells)


if __name__ == "__main__":
    sys.exit(main())
