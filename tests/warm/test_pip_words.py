"""Conflicts in pip's words: the same who, and the same what."""

from __future__ import annotations

from pathlib import Path

import pytest

from pypicached.warm.targets import host_target
from tests.warm.cases import Case, many, w
from tests.warm.pip import constraints_of, run_pip
from tests.warm.shelf import Shelf

pytestmark = pytest.mark.clients

CASES = {
    "two that want different ones": Case(
        [w("a 1.0", "c<2"), w("b 1.0", "c>=2,!=5"), *many("c", ["1.0", "2.0"])], ["a", "b"]
    ),
    "a wish and a dependency": Case([w("a 1.0", "c<2"), *many("c", ["1.0", "2.0"])], ["a", "c>=2"]),
    "two wishes": Case(many("a", ["1.0", "2.0"]), ["a<2", "a>=2"]),
    "deep down": Case(
        [w("top 1.0", "mid"), *[w(f"mid {n}.0", f"low=={n}.0") for n in range(1, 4)],
         w("side 1.0", "low>=9"), *many("low", ["1.0", "2.0", "3.0", "9.0"])],
        ["top", "side"],
    ),
    "an extra": Case(
        [w("a 1.0", "c<2; extra == 'x'", extras=["x"]), w("b 1.0", "c>=2"),
         *many("c", ["1.0", "2.0"])],
        ["a[x]", "b"],
    ),
    "a constraint": Case(
        [w("a 1.0", "c>=2"), *many("c", ["1.0", "2.0"])], ["a"], constraints=["c<2"]
    ),
    "a constrained wish": Case(many("a", ["1.0", "2.0"]), ["a>=2"], constraints=["a<2"]),
}  # fmt: skip


def words_of_pip(case: Case, directory: Path) -> list[str]:
    """Return the lines in which pip says what is in whose way."""
    done = run_pip(
        case.index,
        directory,
        "install --dry-run --ignore-installed",
        constraints_of(case, directory),
        *case.wishes,
    )
    assert done.returncode == 1
    return sorted(
        line.removeprefix("ERROR: ").strip()
        for line in (done.stdout + done.stderr).splitlines()
        # Beside these pip lists, by mistake, every project as one without any files.
        if any(part in line for part in ("Cannot install", " depends on ", "The user requested "))
    )


@pytest.mark.parametrize("name", CASES)
def test_conflict__as_pip(name: str, tmp_path: Path) -> None:
    """Who requires what, and who cannot be installed, is told line by line as pip tells it."""
    case, shelf = CASES[name], Shelf()
    for project, file in case.index:
        shelf.add(project, file)
    plan = shelf.plan(*case.wishes, target=host_target(), constraints=case.constraints)
    (problem,) = plan.problems
    ours = [line.strip() for line in problem.reason.splitlines() if not line.startswith("The ")]
    assert sorted(ours) == words_of_pip(case, tmp_path)
