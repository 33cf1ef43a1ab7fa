"""The real pip, on a fake index of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from tests.e2e.clients import Client
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import DistFile, normalized
from tests.warm.cases import Case


def run_pip(
    index: Iterable[tuple[str, DistFile]], directory: Path, command: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Publish files and run pip; whether it succeeded is the caller's to see."""
    with ThreadedFakeUpstream() as upstream:
        for project, file in index:
            upstream.add(project, file)
        return Client(directory / "home", upstream.url).pip(command, "--no-cache-dir", *arguments)


def constraints_of(case: Case, directory: Path) -> str:
    """Return the option that holds pip to a case's constraints."""
    path = directory / "constraints.txt"
    path.write_text("\n".join(case.constraints) + "\n")
    return f"--constraint={path}"


def installed_by_pip(case: Case, directory: Path) -> dict[str, str] | None:
    """Return project → file name as pip would install them; None where it finds nothing."""
    lines = [
        " ".join([wish, *(f"--hash={digest}" for digest in case.hashes.get(wish, ()))])
        for wish in case.wishes
    ]
    (directory / "requirements.txt").write_text("\n".join(lines) + "\n")
    report = directory / "report.json"
    done = run_pip(
        case.index,
        directory,
        "install --dry-run --ignore-installed --quiet",
        f"--report={report}",
        f"--requirement={directory / 'requirements.txt'}",
        constraints_of(case, directory),
        *case.options,
    )
    assert done.returncode in {0, 1}, done.stderr
    return reported(report) if done.returncode == 0 else None


def reported(report: Path) -> dict[str, str]:
    """Return project → file name of what a report (`--report`) has."""
    return {
        normalized(item["metadata"]["name"]): unquote(item["download_info"]["url"].split("/")[-1])
        for item in json.loads(report.read_text())["install"]
    }
