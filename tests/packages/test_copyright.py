"""packaging/debian/copyright covers each wheel that travels, and the check of it finds gaps."""

from __future__ import annotations

import re
from email.message import Message

import pytest
import wheels
from check_copyright import (
    FOLDER,
    debian_names,
    declared_licence,
    find_problems,
    read_stanzas,
)

_PATH = wheels.ROOT / "packaging" / "debian" / "copyright"
_TEXT = _PATH.read_text(encoding="utf-8")
_ONE = """Files: *
Copyright: us
License: Expat

Files: wheels/demo-*
Copyright: them
License: Apache-2.0 and Expat
"""
_WHEEL = "demo-1.0-py3-none-any.whl"


def test_copyright__a_stanza_for_each_project() -> None:
    """The projects with a stanza are those of requirements/debian.txt."""
    named = {pattern.removesuffix("-*").replace("_", "-") for pattern in read_stanzas(_TEXT)}
    assert named == set(wheels.read_versions(wheels.DEBIAN))


def test_copyright__every_licence_has_its_text() -> None:
    """A licence that a stanza names is written out below, and none that nobody names."""
    named: set[str] = set()
    for licence in [*read_stanzas(_TEXT).values(), "Expat"]:
        named.update(re.findall(r"[A-Za-z0-9.-]+", licence))
    written = set(re.findall(r"^License: ([^\n]+)\n ", _TEXT, re.MULTILINE)) - {""}
    texts = {name for name in written if "Files:" not in name}
    assert texts == named - {"and", "or"}


def test_check__all_is_well() -> None:
    """A wheel under a licence of its stanza is no problem."""
    assert find_problems(_ONE, {_WHEEL: "Apache-2.0 AND MIT"}) == []


def test_check__a_wheel_without_stanza() -> None:
    """A wheel that nobody described fails the build."""
    problems = find_problems(_ONE, {_WHEEL: "MIT", "more-2.0-py3-none-any.whl": "MIT"})
    assert problems == ["more-2.0-py3-none-any.whl has 0 stanzas"]


def test_check__a_stanza_without_wheel() -> None:
    """What travels no more has to go from the file."""
    assert find_problems(_ONE, {}) == [f"no wheel is {FOLDER}demo-*"]


def test_check__another_licence() -> None:
    """A project that changed its licence is noticed."""
    problems = find_problems(_ONE, {_WHEEL: "BSD-3-Clause"})
    assert problems == [f"{_WHEEL} is under BSD-3-clause; its stanza says Apache-2.0 and Expat"]


def test_check__unknown_licence() -> None:
    """A licence that is not in the table is for a person to look at."""
    problems = find_problems(_ONE, {_WHEEL: "LicenseRef-Secret"})
    assert problems == [
        f"{_WHEEL} is under a licence that nobody has looked at: 'LicenseRef-Secret'"
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Apache-2.0 OR BSD-2-Clause", {"Apache-2.0", "BSD-2-clause"}),
        ("Apache 2.0", {"Apache-2.0"}),
        ("License :: OSI Approved :: MIT License", {"Expat"}),
        ("License :: OSI Approved :: BSD License", {"BSD-3-clause"}),
        ("ISC License", {"ISC"}),
        ("PSF-2.0", {"PSF-2.0"}),
        ("GPL-3.0-or-later", set()),
        ("", set()),
    ],
)
def test_debian_names(text: str, names: set[str]) -> None:
    """What wheels say of themselves is found in any of its spellings."""
    assert debian_names(text) == names


@pytest.mark.parametrize(
    ("fields", "declared"),
    [
        ({"License-Expression": "ISC", "License": "MIT"}, "ISC"),
        ({"License": "MIT", "Classifier": "License :: X"}, "MIT"),
        ({"License": "Dual License", "Classifier": "License :: X"}, "License :: X"),
        ({"License": "GPL-3", "Classifier": "License :: MIT"}, "GPL-3"),
        ({}, ""),
    ],
)
def test_declared_licence(fields: dict[str, str], declared: str) -> None:
    """The expression counts, then the text, unless it names nothing, then classifiers."""
    metadata = Message()
    for name, value in fields.items():
        metadata[name] = value
    assert declared_licence(metadata) == declared
