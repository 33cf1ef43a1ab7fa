"""The same as pip: `pip install --dry-run --report` of the same requirements on the same index."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import pytest

from pypicached.warm.plan import Plan
from pypicached.warm.targets import host_target
from tests.e2e.clients import Client
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import normalized
from tests.warm.cases import CASES, Case
from tests.warm.shelf import Shelf

pytestmark = pytest.mark.clients


def by_pip(case: Case, directory: Path) -> dict[str, str] | None:
    """Return project → file name as pip has it; None where it finds nothing."""
    (directory / "requirements.txt").write_text("\n".join(case.wishes) + "\n")
    (directory / "constraints.txt").write_text("\n".join(case.constraints) + "\n")
    with ThreadedFakeUpstream() as upstream:
        for project, file in case.index:
            upstream.add(project, file)
        client = Client(directory / "home", upstream.url)
        done = client.pip(
            "install --dry-run --ignore-installed --quiet --no-cache-dir",
            f"--report={directory / 'report.json'}",
            f"--requirement={directory / 'requirements.txt'}",
            f"--constraint={directory / 'constraints.txt'}",
            *case.options,
        )
    assert done.returncode in {0, 1}, done.stderr
    if done.returncode == 1:
        return None
    report = json.loads((directory / "report.json").read_text())
    return {
        normalized(item["metadata"]["name"]): unquote(item["download_info"]["url"].split("/")[-1])
        for item in report["install"]
    }


def by_us(case: Case, directory: Path) -> Plan:
    """Return our plan."""
    shelf = Shelf(directory)
    for project, file in case.index:
        shelf.add(project, file)
    return shelf.plan(
        *case.wishes,
        target=host_target(),
        constraints=case.constraints,
        pre=case.pre,
        only_binary=tuple(case.only_binary),
        no_binary=tuple(case.no_binary),
        with_dependencies=case.with_dependencies,
    )


def files(plan: Plan) -> dict[str, str]:
    """Return project → file name of what is there to run."""
    return {item.project: item.file.filename for item in plan.items if item.purpose == "run"}


@pytest.mark.parametrize("name", CASES)
def test_plan__as_pip(name: str, tmp_path: Path) -> None:
    """What is planned for this host is, to the file, what pip would install."""
    plan = by_us(CASES[name], tmp_path)
    assert (files(plan), plan.problems) == (by_pip(CASES[name], tmp_path), ())
