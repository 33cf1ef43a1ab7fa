"""packaging/build_deb.py: what it decides before anything is built."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import build_deb
import pytest
import wheels

from pypicached import __version__

_DEBIAN = wheels.ROOT / "packaging" / "debian"
_ENTRY = """pypicached (1.0) unstable; urgency=medium

  * Something about pypicached (0.9) unstable; not an entry.

 -- Somebody <s@example.org>  Thu, 26 Nov 2026 00:00:00 +0000

pypicached (0.9) unstable; urgency=medium
"""


def _sources(tree: Path, version: str) -> Path:
    (tree / "pypicached").mkdir()
    (tree / "pypicached" / "__init__.py").write_text(f'"""Doc."""\n\n__version__ = "{version}"\n')
    return tree


@pytest.mark.parametrize(
    ("ours", "debian"),
    [
        ("1.0", "1.0"),
        ("1.0rc1", "1.0~rc1"),
        ("1.0b2", "1.0~b2"),
        ("1.0.dev3", "1.0~dev3"),
        ("1.0.post1", "1.0.post1"),
    ],
)
def test_own_version__debian_order(tmp_path: Path, ours: str, debian: str) -> None:
    """What comes before a release comes before it in Debian's order, too."""
    assert build_deb.own_version(_sources(tmp_path, ours)) == debian


def test_changelog__is_of_this_version() -> None:
    """debian/changelog begins with the program's version: no release is forgotten there."""
    text = (_DEBIAN / "changelog").read_text()
    assert text.startswith(f"pypicached ({build_deb.own_version(wheels.ROOT)}) ")
    assert build_deb.own_version(wheels.ROOT) == __version__


def test_mark_version__each_entry() -> None:
    """Every entry says for which suite it was built, and only entries do."""
    marked = build_deb.mark_version("changelog", _ENTRY, "1.0", "trixie")
    assert re.findall(r"^pypicached.*", marked, re.MULTILINE) == [
        "pypicached (1.0~deb13) trixie; urgency=medium",
        "pypicached (0.9~deb13) trixie; urgency=medium",
    ]
    assert "  * Something about pypicached (0.9) unstable; not an entry." in marked


def test_mark_version__another_version() -> None:
    """A changelog that does not begin with the program's version stops the build."""
    with pytest.raises(SystemExit, match=r"changelog begins with 1\.0, but this is 1\.1"):
        build_deb.mark_version("changelog", _ENTRY, "1.1", "bookworm")


def test_mark_version__news_of_an_older_version() -> None:
    """News are not for every version."""
    assert "(1.0~deb12) bookworm;" in build_deb.mark_version("x.NEWS", _ENTRY, "1.1", "bookworm")


def test_build_depends__names_alone() -> None:
    """A root for another suite gets what debian/control asks for; debhelper for its level."""
    tree = wheels.ROOT / "packaging"
    names = build_deb.build_depends(tree)
    assert "debhelper" in names
    assert "python3-pip" in names
    assert all(re.fullmatch(r"[a-z0-9.+-]+", name) for name in names)


def test_check_needs__names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a host without the tools, the one line to run is told before anything is fetched."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"apt-get install .*dpkg-dev mmdebstrap"):
        build_deb.check_needs(wheels.ROOT, foreign=True)


@pytest.mark.skipif(shutil.which("dpkg-checkbuilddeps") is None, reason="needs dpkg-dev")
def test_unmet_build_depends__names_alone(tmp_path: Path) -> None:
    """Versions and levels of what is missing are left out: apt-get wants names."""
    (tmp_path / "debian").mkdir()
    (tmp_path / "debian" / "control").write_text(
        "Source: demo\nBuild-Depends: no-such-one (>= 1.0), dpkg, no-such-two\n\n"
        "Package: demo\nArchitecture: all\n"
    )
    assert build_deb.unmet_build_depends(tmp_path) == ["no-such-one", "no-such-two"]


@pytest.mark.parametrize("suite", wheels.SUITES)
def test_wheels__only_pinned_ones(tmp_path: Path, suite: str) -> None:
    """A folder of wheels that are not those of debian.txt is refused before anything is built."""
    given = tmp_path / "given"
    given.mkdir()
    (given / "aiohttp-3.14.5-py3-none-any.whl").write_bytes(b"another wheel of that name")
    with pytest.raises(SystemExit, match=r"debian\.txt names of aiobotocore"):
        build_deb.collect_wheels(given, tmp_path / "into", suite, "amd64")
    assert list((tmp_path / "into").iterdir()) == []


def test_sources__all_there_and_enough() -> None:
    """What is copied for a build exists, and the package's files are among it."""
    for name in build_deb.SOURCES:
        assert (wheels.ROOT / name).exists()
    for listed in ("pypicached.docs", "pypicached.install", "pypicached.examples"):
        for line in (_DEBIAN / listed).read_text().splitlines():
            path = line.split()[0].replace("debian/", "packaging/debian/", 1)
            assert list(wheels.ROOT.glob(path)), line
            assert any(Path(path).is_relative_to(name) for name in build_deb.SOURCES), line
