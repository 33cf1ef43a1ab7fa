"""Names: the grammar, normalization, and what file names say."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name

from pypicached.simple.names import is_valid, normalize, projects_of, surely_of, version_of

NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True)


@given(NAMES)
def test_normalize__agrees_with_packaging(name: str) -> None:
    """The normalized name is that of PEP 503, and normalizing again changes nothing."""
    assert normalize(name) == canonicalize_name(name)
    assert normalize(normalize(name)) == normalize(name)


@pytest.mark.parametrize("name", ["a", "A1", "zope.interface", "a-_.b", "0", "x" * 200])
def test_is_valid__accepts_names(name: str) -> None:
    """Letters, digits and inner `._-` make a name (PEP 508)."""
    assert is_valid(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        "a-",
        ".",
        "..",
        "a b",
        "a/b",
        "a\n",
        "\na",
        "\u017f",
        "\u212a",
        "é",
        "a\x00",
        "x" * 201,
    ],
)
def test_is_valid__rule_04_refuses_others(name: str) -> None:
    """Anything outside the ASCII grammar is no name, a trailing newline included."""
    assert not is_valid(name)


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("Zope.Interface-5.0-cp39-cp39-linux_x86_64.whl", ["zope-interface"]),
        ("foo_bar-1.0-1-py3-none-any.whl", ["foo-bar"]),
        ("foo-bar-1.0-py3-none-any.whl", ["foo-bar", "foo"]),
        ("foo-bar-1.0.tar.gz", ["foo-bar", "foo"]),
        ("foo-2-1.0.zip", ["foo-2", "foo"]),
        ("foo-1.0-beta.tar.bz2", ["foo", "foo-1-0"]),
        ("foo-1.0-py2.7.egg", ["foo", "foo-1-0"]),
        ("foo-1.0.win32-py2.7.exe", ["foo", "foo-1-0-win32"]),
        ("foo.tar.gz", ["foo"]),
        ("-1.0.tar.gz", []),
        ("x" * 300 + "-1.0.tar.gz", []),
    ],
)
def test_projects_of__most_likely_first(filename: str, expected: list[str]) -> None:
    """A wheel names its project; of an sdist, prefixes before a version come first."""
    assert projects_of(filename) == expected


@given(st.text(max_size=300) | st.from_regex(r"(\w{0,3}-){0,40}\d(\.tar\.gz|\.whl|\.zip)"))
def test_projects_of__any_text(filename: str) -> None:
    """At most eight candidates, each a valid normalized name, each once."""
    found = projects_of(filename)
    assert len(found) <= 8
    assert len(set(found)) == len(found)
    assert all(is_valid(name) and normalize(name) == name for name in found)


@pytest.mark.parametrize(
    ("filename", "project", "expected"),
    [
        ("foo-1.0-py3-none-any.whl", "foo", "1.0"),
        ("foo-1.0-2-py3-none-any.whl", "foo", "1.0"),
        ("Foo_Bar-1.0+cpu-py3-none-any.whl", "foo-bar", "1.0+cpu"),
        ("foo-1.0_1-py3-none-any.whl", "foo", "1.0.post1"),
        ("foo-bar-1.0-py3-none-any.whl", "foo-bar", "1.0"),
        ("foo-1.0.tar.gz", "foo", "1.0"),
        ("foo.bar-1.0RC1.zip", "foo-bar", "1.0rc1"),
        ("foo-1.0-1.tar.gz", "foo", "1.0.post1"),
        ("foo-2-1.0.tar.gz", "foo-2", "1.0"),
        ("foo-1.0-py2.7.egg", "foo", "1.0"),
        ("foo-1.0-py2.7-win32.egg", "foo", "1.0"),
        ("foo-1.0.win-amd64-py2.7.exe", "foo", "1.0"),
        ("foo-1.0.linux-x86_64.tar.gz", "foo", "1.0"),
        ("foo-1.0-1.noarch.rpm", "foo", "1.0"),
        ("foo-2-1.0.tar.gz", "foo", None),
        ("foo-1.0.tar.gz", "bar", None),
        ("foo-1.0.txt", "foo", None),
        ("foo-latest.zip", "foo", None),
        ("foo.zip", "foo", None),
        ("foo-1.0-any.whl", "foo", None),
        ("foo-1.0.rpm", "foo", None),
        ("foo-" + "1" * 300 + ".zip", "foo", None),
    ],
)
def test_version_of__says_it_or_nothing(filename: str, project: str, expected: str | None) -> None:
    """The version is that of the file's name; where the name does not tell, there is none."""
    assert version_of(filename, project) == expected


@given(st.text(max_size=60), st.text(max_size=20))
def test_version_of__any_text(filename: str, project: str) -> None:
    """No file name makes it fail."""
    version = version_of(filename, project)
    assert version is None or version


@given(
    st.text("ab-_.0123", min_size=1, max_size=24),
    st.sampled_from([".tar.gz", ".zip", "-py3-none-any.whl", "-1-py3-none-any.whl"]),
    st.text("ab-_.01", min_size=1, max_size=8),
)
@example("a-1.0" + "0" * 250, ".zip", "a")
def test_surely_of__never_a_wrong_yes(stem: str, suffix: str, project: str) -> None:
    """The quick answer never leads a file to a project that the full one would not."""
    filename, name = stem + suffix, normalize(project)
    if is_valid(project) and surely_of(filename, name):
        assert name in projects_of(filename)


@pytest.mark.parametrize(
    "filename",
    [
        "foo_bar-1.0-py3-none-any.whl",
        "foo-bar-1.0.tar.gz",
        "Foo.Bar-1.0-2-cp311-abi3-linux_x86_64.whl",
    ],
)
def test_surely_of__usual_names(filename: str) -> None:
    """The names that nearly all files have are told at once."""
    assert surely_of(filename, "foo-bar")
