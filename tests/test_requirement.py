"""Requirements as rules over files: which spellings are rules, and what they mean."""

from __future__ import annotations

import pytest

from pypicached.requirement import MAX_LENGTH, parse_requirement


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("flask", "flask"),
        (" Flask_SQLAlchemy ", "flask-sqlalchemy"),
        ("flask == 3.*", "flask==3.*"),
        ("torch<3,>=2", "torch<3,>=2"),
        ("torch>=2,<3", "torch<3,>=2"),
        ("zope.interface(>=5)", "zope-interface>=5"),
    ],
)
def test_requirement__spelled(text: str, spelled: str) -> None:
    """A rule is spelled in one way, whatever way it was written, and reads as itself."""
    rule = parse_requirement(text)
    assert str(rule) == spelled
    assert parse_requirement(spelled) == rule


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no requirement"),
        ("flask=3", "is no requirement"),
        ("flask; rm", "is no requirement"),
        ("../x", "is no requirement"),
        ("flask\n==3", "is no requirement"),
        ("flaské", "is no requirement"),
        ("a" * (MAX_LENGTH + 1), "is no requirement"),
        ("flask[async]", "has extras"),
        ("flask; python_version > '3'", "has a marker"),
        ("flask @ https://files.test/flask-1.0.tar.gz", "has an address"),
    ],
)
def test_requirement__refused(text: str, reason: str) -> None:
    """What is no rule over files is refused in one short sentence that shows how it is done."""
    with pytest.raises(ValueError, match=reason) as caught:
        parse_requirement(text)
    sentence = str(caught.value)
    assert sentence.endswith("say e.g. flask, flask==3.* or torch>=2,<3")
    assert (sentence.isprintable(), len(sentence) < 250) == (True, True)


@pytest.mark.parametrize(
    ("text", "version", "meant"),
    [
        ("flask", "1.0", True),
        ("flask", None, True),
        ("flask==3.*", "3.0.1", True),
        ("flask==3.*", "3.1rc1", True),
        ("flask==3.*", "2.9", False),
        ("flask==3.*", None, False),
        ("flask==2.1", "2.1+cpu", True),
        ("flask>=2,<3", "2.9", True),
        ("flask>=2,<3", "3.0", False),
        ("flask!=2", "2.0", False),
    ],
)
def test_requirement__matches(text: str, version: str | None, meant: bool) -> None:
    """Versions count as PEP 440 has it, pre-releases too; an unknown one is meant by all alone."""
    assert parse_requirement(text).matches("flask", version) is meant
    assert not parse_requirement(text).matches("flask-login", version)
