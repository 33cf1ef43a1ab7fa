"""Locked files: exactly those, for each target the best, and what differs is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pypicached.requirements.model import LockedFile, LockedPackage, Origin
from pypicached.warm.frames import Answer
from pypicached.warm.plan import Plan
from pypicached.warm.targets import parse_target
from tests.fake.wheels import DistFile, make_sdist, make_wheel
from tests.warm.shelf import Shelf, versions


def locked(
    project: str,
    *files: DistFile,
    version: str | None = "1.0",
    marker: str | None = None,
    names: bool = True,
    hashed: bool = True,
) -> LockedPackage:
    """Return a package as a lock has it."""
    listed = tuple(
        LockedFile(f.filename if names else None, {"sha256": f.sha256} if hashed else {})
        for f in files
    )
    return LockedPackage(project, version, listed, Origin("uv.lock", 12), marker)


def told(plan: Plan) -> list[tuple[str, str, str]]:
    """Return the problems, without their place."""
    return [(p.kind, p.what, p.reason) for p in plan.problems]


def names(plan: Plan) -> list[str]:
    """Return the file names."""
    return [item.file.filename for item in plan.items]


LINUX_WHEEL = make_wheel("a", "1.0", tag="cp312-cp312-manylinux_2_17_x86_64")
WINDOWS_WHEEL = make_wheel("a", "1.0", tag="cp312-cp312-win_amd64")
PURE = make_wheel("a", "1.0")
SDIST = make_sdist("a", "1.0")


def test_locked__best_for_each_target() -> None:
    """Each target gets its best locked file, and nothing that the lock does not name."""
    shelf = Shelf()
    better = make_wheel("a", "1.0", tag="cp312-cp312-manylinux_2_28_x86_64")
    shelf.add("a", LINUX_WHEEL, WINDOWS_WHEEL, better, make_wheel("a", "2.0", requires=["b"]))
    package = locked("a", LINUX_WHEEL, WINDOWS_WHEEL)
    targets = [parse_target("3.12", name) for name in ("linux-x86_64", "windows-amd64")]
    plans = shelf.plans(targets=targets, locked=(package,))
    assert [names(plan) for plan in plans] == [[LINUX_WHEEL.filename], [WINDOWS_WHEEL.filename]]
    assert [plan.problems for plan in plans] == [(), ()]
    assert plans[0].items[0].requested_by == ("uv.lock line 12",)
    assert shelf.asked == ["a"]  # no sidecar: nothing is resolved


def test_locked__names_unknown() -> None:
    """Where a lock has digests alone (`Pipfile.lock`), they find the files."""
    shelf = Shelf()
    shelf.add("a", PURE, LINUX_WHEEL, make_wheel("a", "2.0"))
    assert names(shelf.plan(locked=(locked("a", PURE, names=False),))) == [PURE.filename]


def test_locked__marker() -> None:
    """A package whose marker does not hold is not for the target; one that is none is told."""
    shelf = Shelf()
    shelf.add("a", PURE)
    assert shelf.plan(locked=(locked("a", PURE, marker="os_name == 'nt'"),)).items == ()
    plan = shelf.plan(locked=(locked("a", PURE, marker="os_name is nt"),))
    assert told(plan) == [("unusable", "a==1.0", "its marker is none (PEP 508): os_name is nt")]


def test_locked__another_digest() -> None:
    """A file that is another on the index than in the lock is not taken; both are told."""
    shelf = Shelf()
    shelf.add("a", PURE)
    other = dataclasses.replace(PURE, sha256="0" * 64)
    plan = shelf.plan(locked=(locked("a", other),))
    reason = (
        f"{PURE.filename} has sha256:{'0' * 64} in the lock and sha256:{PURE.sha256} on the index"
    )
    assert (told(plan), plan.items) == ([("mismatch", "a==1.0", reason)], ())


def test_locked__no_digest_in_common() -> None:
    """Without a digest to compare the name decides, and that is noted."""
    shelf = Shelf()
    shelf.add("a", PURE)
    plan = shelf.plan(locked=(locked("a", PURE, hashed=False),))
    assert names(plan) == [PURE.filename]
    assert plan.notes == (
        f"{PURE.filename} was taken by its name: lock and index have no digest in common",
    )


@pytest.mark.parametrize("files", [(), (LINUX_WHEEL,)])
def test_locked__gone(files: tuple[DistFile, ...]) -> None:
    """What the index does not list, or does not have, is told, and the rest is taken."""
    shelf = Shelf()
    if files:
        shelf.add("a", WINDOWS_WHEEL)
    shelf.add("b", made := make_wheel("b", "1.0"))
    plan = shelf.plan(locked=(locked("a", *files or (PURE,)), locked("b", made)))
    reason = (
        f"the index lists none of its locked files ({LINUX_WHEEL.filename})"
        if files
        else "no index here has a"
    )
    assert (told(plan), versions(plan)) == ([("not-found", "a==1.0", reason)], {"b": "1.0"})


def test_locked__not_for_the_target() -> None:
    """A lock that has no file for a target says so."""
    shelf = Shelf()
    shelf.add("a", WINDOWS_WHEEL, LINUX_WHEEL)
    plan = shelf.plan(locked=(locked("a", WINDOWS_WHEEL),))
    reason = f"no locked file is for this target ({WINDOWS_WHEEL.filename})"
    assert told(plan) == [("not-found", "a==1.0", reason)]


def test_locked__refused_and_failed() -> None:
    """A rule's reason is told for a file, and an upstream's for a page."""
    shelf = Shelf()
    shelf.add("a", make_wheel("a", "0.9"))
    shelf.refused["a"] = {PURE.filename: "min_age: 1 day old"}
    shelf.page_fails("b")
    shelf.instead["c"] = Answer("page", "c", "refused", 'deny has "c"')
    packages = [locked("a", PURE), *(locked(n, make_wheel(n, "1.0")) for n in ("b", "c"))]
    assert told(shelf.plan(locked=tuple(packages))) == [
        ("refused", "a==1.0", f"{PURE.filename}: min_age: 1 day old"),
        ("failed", "b==1.0", "index pypi: timed out"),
        ("refused", "c==1.0", 'deny has "c"'),
    ]


def test_locked__version_alone() -> None:
    """Of a lock without files the version is what counts, yanked or not."""
    shelf = Shelf()
    shelf.add("a", dataclasses.replace(PURE, yanked=True), make_wheel("a", "2.0"))
    assert versions(shelf.plan(locked=(locked("a"),))) == {"a": "1.0"}


def test_locked__sdist(tmp_path: Path) -> None:
    """An sdist is taken where there is no wheel, or with one if it was asked for."""
    shelf = Shelf(tmp_path)
    shelf.add("a", PURE, SDIST)
    assert names(shelf.plan(locked=(locked("a", SDIST),))) == [SDIST.filename]
    assert names(shelf.plan(locked=(locked("a", PURE, SDIST),))) == [PURE.filename]
    plan = shelf.plan(locked=(locked("a", PURE, SDIST),), with_sdists=True)
    assert names(plan) == [PURE.filename, SDIST.filename]
