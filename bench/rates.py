"""Requests a second, by wrk (Debian's package of that name): one thread, many connections."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from bench.processes import TargetError, cpu_seconds_of
from bench.targets import Target

_SCRIPT = Path(__file__).with_name("rates.lua")
# An answer that takes longer than this has failed.
_TIMEOUT_SECONDS = 20


class NoAnswerError(Exception):
    """Not a single answer came in time."""


class _Told(msgspec.Struct, frozen=True):
    """What `rates.lua` prints."""

    requests: int
    microseconds: int
    bytes: int
    median: int
    p99: int
    worst: int
    failed: int
    broken: int


class Rate(msgspec.Struct, frozen=True):
    """Requests a second, what each cost the target, and how long it took."""

    per_second: float
    cpu_microseconds: float
    median_ms: float
    p99_ms: float


def measure(
    target: Target, path: str, headers: Mapping[str, str], *, connections: int, seconds: float
) -> Rate:
    """Ask for one path as fast as the target answers.

    Raises TargetError if any answer fails.

    Raises NoAnswerError if there was none.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise TargetError("needs Debian's package wrk")
    # Its durations are whole seconds.
    command = [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    command += ["--timeout", f"{_TIMEOUT_SECONDS}s", "-s", str(_SCRIPT)]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    before = cpu_seconds_of(target.pid)
    done = subprocess.run(
        [*command, target.base + path], capture_output=True, text=True, check=False
    )
    used = cpu_seconds_of(target.pid) - before
    if done.returncode:
        raise TargetError(f"wrk: {done.stderr.strip() or done.stdout.strip()}")
    told = msgspec.json.decode(done.stdout.strip().splitlines()[-1], type=_Told)
    if not told.requests:
        raise NoAnswerError
    if told.failed or told.broken:
        raise TargetError(f"{told.failed + told.broken} of {told.requests} failed")
    return Rate(
        told.requests / (told.microseconds / 1e6),
        used / told.requests * 1e6,
        told.median / 1000,
        told.p99 / 1000,
    )
