"""The same as pip: `pip install --dry-run --report` of the same requirements on the same index."""

from __future__ import annotations

from pathlib import Path

import pytest

from pypicached.warm.plan import Plan
from pypicached.warm.targets import host_target, parse_target
from tests.warm.cases import CASES, Case, w
from tests.warm.pip import installed_by_pip, run_pip
from tests.warm.shelf import Shelf, wish

pytestmark = pytest.mark.clients


def by_us(case: Case, directory: Path) -> Plan:
    """Return our plan."""
    shelf = Shelf(directory)
    for project, file in case.index:
        shelf.add(project, file)
    return shelf.plan(
        *(
            wish(text, line, "requirements.txt", *case.hashes.get(text, ()))
            for line, text in enumerate(case.wishes, 1)
        ),
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
    assert (files(plan), plan.problems) == (installed_by_pip(CASES[name], tmp_path), ())


# Wheels of every platform: "fast" as numpy, "pure", and "tied" to the newest systems.
ELSEWHERE = [
    *(w("fast 1.0", "pure", tag=f"cp{python}-cp{python}-{platform}")
      for python in ("311", "312", "313")
      for platform in ("manylinux_2_17_x86_64.manylinux2014_x86_64", "manylinux_2_28_x86_64",
                       "manylinux2014_aarch64", "musllinux_1_1_x86_64", "musllinux_1_2_aarch64",
                       "macosx_10_13_x86_64", "macosx_11_0_arm64", "macosx_14_0_arm64",
                       "win_amd64", "win32")),
    w("stable 2.0", tag="cp311-abi3-manylinux_2_34_x86_64"),
    w("stable 2.0", tag="cp39-abi3-manylinux2014_x86_64"),
    w("stable 2.0", tag="cp39-abi3-macosx_10_12_universal2"),
    w("stable 2.0", tag="cp39-abi3-win_amd64"),
    w("stable 1.0"),
    w("pure 1.0", requires_python="<3.13"),
    w("pure 0.9"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("python", "platform"),
    [
        ("3.11", "linux-x86_64"),
        ("3.13", "linux-aarch64"),
        ("3.12", "musllinux-x86_64"),
        ("3.12", "macos-arm64"),
        ("3.13", "macos-x86_64"),
        ("3.12", "windows-amd64"),
        ("3.12", "manylinux2014_x86_64"),
        ("3.12", "x86_64-manylinux_2_17"),
        ("3.12", "macosx_11_0_arm64"),
    ],
)
def test_plan__as_pip_download(python: str, platform: str, tmp_path: Path) -> None:
    """For another Python and platform it is what `pip download` takes with the target's tags."""
    target, shelf = parse_target(python, platform), Shelf()
    done = run_pip(
        ELSEWHERE,
        tmp_path,
        "download --quiet --only-binary=:all:",
        f"--dest={tmp_path / 'files'}",
        f"--python-version={python}",
        *(f"--platform={tag}" for tag in target.platforms),
        "fast",
        "stable",
    )
    for project, file in ELSEWHERE:
        shelf.add(project, file)
    assert done.returncode == 0, done.stderr
    plan = shelf.plan("fast", "stable", target=target, only_binary=(":all:",))
    assert sorted(files(plan).values()) == sorted(f.name for f in (tmp_path / "files").iterdir())
