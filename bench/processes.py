"""Processes that a bench starts: how they begin and end, and what the kernel says of them.

A target may be several processes. What it used is the sum over all that descend from the one that
was started.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
START_SECONDS = 30.0
STOP_SECONDS = 15.0


class TargetError(Exception):
    """A target did not start or did not answer; the message holds the end of what it said."""


@contextmanager
def running(
    command: Sequence[str], directory: Path, environment: Mapping[str, str], *, ready_url: str
) -> Iterator[int]:
    """Run a server in a directory of its own until it is left; gives its pid. Raises TargetError.

    It has started once `ready_url` answers anything but a 5xx.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (
        (directory / "output.log").open("wb") as log,
        subprocess.Popen(
            command, cwd=directory, env=environment, stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            _wait_until_answers(ready_url, process, directory)
            yield process.pid
        finally:
            end(process)


def end(process: subprocess.Popen[Any]) -> None:
    """End a process, kindly at first."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def memory_of(pid: int) -> dict[str, int]:
    """Return VmRSS, VmHWM and RssAnon of a process, in bytes (proc_pid_status(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM", "RssAnon")}


def reset_peak_of(pid: int) -> None:
    """Let VmHWM start again from what is resident now (proc_pid_clear_refs(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def cpu_seconds_of(pid: int) -> float:
    """Return user and system time so far of a process and all its descendants.

    Children that have ended count with the process that waited for them (proc_pid_stat(5)).
    """
    ticks = 0
    for one in family_of(pid):
        fields = _stat(one)
        if fields:
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes_of(pid: int) -> int:
    """Return VmRSS of a process and all its descendants; shared pages count for each."""
    return _memory_sum(pid, "VmRSS")


def peak_bytes_of(pid: int) -> int:
    """Return VmHWM, as `resident_bytes_of` does VmRSS."""
    return _memory_sum(pid, "VmHWM")


def reset_peaks_of(pid: int) -> None:
    """Let VmHWM of a process and all its descendants start again from what is resident now."""
    for one in family_of(pid):
        with contextlib.suppress(OSError):  # it has just ended
            reset_peak_of(one)


def _memory_sum(pid: int, field: str) -> int:
    total = 0
    for one in family_of(pid):
        with contextlib.suppress(OSError, KeyError):  # it has just ended
            total += memory_of(one)[field]
    return total


def family_of(pid: int) -> list[int]:
    """Return the process and all that descend from it and run now."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(path.name))
        if fields:
            children.setdefault(int(fields[1]), []).append(int(path.name))
    family = [pid]
    for member in family:
        family += children.get(member, [])
    return family


def _stat(pid: int) -> list[str]:
    """Return the fields of stat from the third on, the state; none if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _wait_until_answers(url: str, process: subprocess.Popen[bytes], directory: Path) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except urllib.error.HTTPError as answer:
            answer.close()
            if answer.code < 500:
                return
        except OSError:
            pass
        else:
            return
        time.sleep(0.01)
    said = (directory / "output.log").read_text(errors="replace")[-2000:]
    raise TargetError(f"{url} does not answer\n{said}")
