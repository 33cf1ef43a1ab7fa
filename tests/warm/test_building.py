"""Sdists: what they say of themselves, and what it takes to build them."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from pypicached.warm.core_metadata import MetadataError, UnknownDependenciesError
from pypicached.warm.plan import Plan
from pypicached.warm.sdist import DEFAULT_REQUIRES, Sdist, read_sdist
from tests.fake.wheels import make_sdist, make_wheel
from tests.warm.shelf import Shelf, versions

STATIC = {"metadata_version": "2.2"}


def purposes(plan: Plan) -> dict[str, str]:
    """Return file name → purpose."""
    return {item.file.filename: item.purpose for item in plan.items}


def test_sdist__dependencies_are_static(tmp_path: Path) -> None:
    """From metadata 2.2 on an sdist's dependencies count (PEP 643)."""
    shelf = Shelf(tmp_path)
    shelf.add("a", make_sdist("a", "1.0", requires=["b"], metadata_version="2.2"))
    shelf.add("b", make_wheel("b", "1.0"))
    plan = shelf.plan("a")
    assert (versions(plan), plan.notes) == ({"a": "1.0", "b": "1.0"}, ())


@pytest.mark.parametrize("dynamic", [None, "Requires-Dist"])
def test_sdist__dependencies_are_unknown(tmp_path: Path, dynamic: str | None) -> None:
    """Where only a build would tell, the sdist is taken and a gap is told; nothing is built."""
    more = {"metadata_version": "2.3", "dynamic": [dynamic]} if dynamic else {}
    shelf = Shelf(tmp_path)
    shelf.add("a", make_sdist("a", "1.0", requires=["b"], **more))  # type: ignore[arg-type]
    plan = shelf.plan("a")
    why = (
        "its dependencies are made in a build"
        if dynamic
        else "its metadata is of before 2.2, and may change in a build"
    )
    assert versions(plan) == {"a": "1.0"}
    assert plan.gaps == (f"a-1.0.tar.gz: dependencies unknown, it has to be built ({why})",)


def test_sdist__is_not_brought() -> None:
    """An sdist that its source does not bring now is planned, and its needs are unknown."""
    shelf = Shelf()
    shelf.add("a", make_sdist("a", "1.0", requires=["b"], metadata_version="2.2"))
    plan = shelf.plan("a")
    assert (versions(plan), plan.problems) == ({"a": "1.0"}, ())
    assert plan.gaps == (
        "a-1.0.tar.gz: dependencies unknown, it has to be built (it is not here yet)",
    )
    assert plan.notes == ("a==1.0: it is not here yet; what it takes to build it is unknown",)


def test_gaps__of_what_is_taken_alone() -> None:
    """What is only to be had from an address is a gap, if who needs it is in the plan."""
    shelf = Shelf()
    shelf.add("a", make_wheel("a", "1.0", requires=["b @ https://example.test/b.whl"]))
    shelf.add("a", make_wheel("a", "2.0", requires=["c @ https://example.test/c.whl", "d>9"]))
    shelf.add("d", make_wheel("d", "1.0"))
    plan = shelf.plan("a")
    assert versions(plan) == {"a": "1.0"}
    assert plan.gaps == ("a 1.0 needs b from an address, which no index has",)


def test_building__what_it_takes(tmp_path: Path) -> None:
    """What an sdist needs to be built comes too, and what builds that in turn; each by itself."""
    shelf = Shelf(tmp_path)
    shelf.add("a", make_sdist("a", "1.0", build_requires=["backend<2"], **STATIC))
    shelf.add("backend", make_sdist("backend", "1.0", build_requires=["core>=1"], **STATIC))
    shelf.add("backend", make_wheel("backend", "2.0"))
    shelf.add("core", make_wheel("core", "1.0", requires=["low"]))
    shelf.add("low", make_wheel("low", "1.0"))
    plan = shelf.plan("a", "low")
    assert purposes(plan) == {
        "a-1.0.tar.gz": "run",
        "backend-1.0.tar.gz": "build",
        "core-1.0-py3-none-any.whl": "build",
        "low-1.0-py3-none-any.whl": "run",
    }
    asked = {item.project: item.requested_by for item in plan.items}
    assert asked["backend"] == ("to build a 1.0",)


def test_building__something_is_missing(tmp_path: Path) -> None:
    """A build requirement that cannot be had is a problem; the sdist is fetched all the same."""
    shelf = Shelf(tmp_path)
    shelf.add("a", make_sdist("a", "1.0", build_requires=["gone"], metadata_version="2.2"))
    plan = shelf.plan("a")
    assert versions(plan) == {"a": "1.0"}
    assert [(p.kind, p.what, p.where) for p in plan.problems] == [
        ("not-found", "gone", "to build a 1.0")
    ]


def test_building__needs_itself(tmp_path: Path) -> None:
    """A backend that is built by itself does not go on for ever."""
    shelf = Shelf(tmp_path)
    shelf.add("a", make_sdist("a", "1.0", build_requires=["a"], metadata_version="2.2"))
    assert purposes(shelf.plan("a")) == {"a-1.0.tar.gz": "run"}


def test_sdists__beside_wheels(tmp_path: Path) -> None:
    """On demand the sdist of what has a wheel comes too, with what builds it."""
    shelf = Shelf(tmp_path)
    shelf.add("a", make_wheel("a", "1.0"), make_sdist("a", "1.0", build_requires=["backend"]))
    shelf.add("b", make_wheel("b", "1.0"))
    shelf.add("backend", make_wheel("backend", "1.0"))
    plan = shelf.plan("a", "b", with_sdists=True)
    assert purposes(plan) == {
        "a-1.0-py3-none-any.whl": "run",
        "a-1.0.tar.gz": "run",
        "b-1.0-py3-none-any.whl": "run",
        "backend-1.0-py3-none-any.whl": "build",
    }
    assert plan.notes == ("b 1.0 has no sdist",)


def archive(path: Path, members: dict[str, bytes], mode: str) -> Path:
    """Write an archive: "zip", or a mode of tarfile."""
    if mode == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, body in members.items():
                packed.writestr(name, body)
        return path
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, body in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return path


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        (".tar.gz", "w:gz"),
        (".tar.bz2", "w:bz2"),
        (".tar.xz", "w:xz"),
        (".tar", "w"),
        (".zip", "zip"),
    ],
)
def test_sdist__every_format(tmp_path: Path, suffix: str, mode: str) -> None:
    """The two files are read from every kind of archive, one directory down and nowhere else."""
    members = {
        "a-1.0/sub/PKG-INFO": b"wrong",
        "PKG-INFO": b"wrong",
        "a-1.0/PKG-INFO": b"right",
        "a-1.0/pyproject.toml": b"[build-system]\nrequires = ['x>=1']\n",
    }
    path = archive(tmp_path / "blob", members, mode)
    found = read_sdist(path, f"a-1.0{suffix}")
    assert (found.pkg_info, found.build_requires()) == (b"right", ("x>=1",))


def test_sdist__says_nothing(tmp_path: Path) -> None:
    """Without `[build-system]` it is setuptools that builds (PEP 518)."""
    assert Sdist(b"", None).build_requires() == DEFAULT_REQUIRES
    assert Sdist(b"", b"[tool.x]\n").build_requires() == DEFAULT_REQUIRES


@pytest.mark.parametrize(
    "text",
    [b"[build-system]\n", b"[build-system]\nrequires = 3\n", b"\xff", b"]", b"build-system = 1\n",
     b"[build-system]\nrequires = ['???']\n", b"[build-system]\nrequires = [1]\n"],
)  # fmt: skip
def test_sdist__unusable_build_system(text: bytes) -> None:
    """A `[build-system]` that says nothing usable is told, not guessed."""
    with pytest.raises(MetadataError, match="no usable"):
        Sdist(b"", text).build_requires()


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", gzip.compress(b"nonsense" * 1000), gzip.compress(b"")[:-4]],
    ids=["empty", "nonsense", "nonsense inside", "cut"],
)
@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz", ".zip", ".tar"])
def test_sdist__is_none(tmp_path: Path, body: bytes, suffix: str) -> None:
    """Bytes that are no archive say nothing; they raise nothing else."""
    path = tmp_path / "blob"
    path.write_bytes(body)
    with pytest.raises((MetadataError, UnknownDependenciesError)):
        read_sdist(path, f"a-1.0{suffix}").metadata()


def test_sdist__bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What unpacks beyond the bound is given up."""
    monkeypatch.setattr("pypicached.warm.sdist.LIMIT_BYTES", 1_000_000)
    members = {"a-1.0/zeros": bytes(2_000_000), "a-1.0/PKG-INFO": b""}
    path = archive(tmp_path / "blob", members, "w:gz")
    with pytest.raises(MetadataError, match="no sdist that can be read"):
        read_sdist(path, "a-1.0.tar.gz")
