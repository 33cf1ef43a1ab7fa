"""What is served, by the operator's rules: the one decision, as a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypicached.policy import (
    NEVER,
    Facts,
    Rules,
    decide,
    decide_project,
    moment_of,
)
from pypicached.requirement import Requirement, parse_requirement

DAY = 86400.0
NOW = 1_700_000_000.0


def requirements(*texts: str) -> tuple[Requirement, ...]:
    return tuple(map(parse_requirement, texts))


def facts(
    version: str | None = "1.0", *, age: float | None = 100 * DAY, removed: bool = False
) -> Facts:
    uploaded = None if age is None else NOW - age
    name = "foo-final.tar.gz" if version is None else f"foo-{version}.tar.gz"
    return Facts("foo", name, uploaded, removed)


@pytest.mark.parametrize(
    ("deny", "version", "allowed"),
    [
        ("foo", "1.0", False),
        ("FOO", "1.0", False),
        ("bar", "1.0", True),
        ("foo<2", "1.0", False),
        ("foo<2", "2.0", True),
        ("foo==1.0", "1.0", False),
        ("foo==1.0", "1.0.0", False),
        ("foo>=2", "2.0rc1", True),
        ("foo>=1", "2.0rc1", False),
        ("foo==1.0", None, False),  # nobody knows that it is not
        ("bar==1.0", None, True),
    ],
)
def test_policy__deny(deny: str, version: str | None, allowed: bool) -> None:
    """What a deny rule means is refused; a version that is unknown is any version."""
    verdict = decide(facts(version), Rules(deny=requirements(deny)), NOW)
    assert verdict.allowed is allowed
    if not allowed:
        assert f'deny "{parse_requirement(deny)}"' in verdict.reason


@pytest.mark.parametrize(
    ("allow", "version", "allowed"),
    [
        (("foo",), "1.0", True),
        (("bar",), "1.0", False),
        (("bar", "foo<2"), "1.0", True),
        (("foo<2",), "2.0", False),
        (("foo<2",), None, False),
        (("foo",), None, True),
    ],
)
def test_policy__allow(allow: tuple[str, ...], version: str | None, allowed: bool) -> None:
    """With `allow` set, nothing else is served."""
    assert decide(facts(version), Rules(allow=requirements(*allow)), NOW).allowed is allowed


def test_policy__deny_wins() -> None:
    """What is both denied and allowed is denied."""
    rules = Rules(deny=requirements("foo==1.0"), allow=requirements("foo"))
    assert not decide(facts("1.0"), rules, NOW).allowed
    assert decide(facts("1.1"), rules, NOW).allowed


@pytest.mark.parametrize(
    ("age", "allowed"),
    [(7 * DAY, True), (7 * DAY - 1, False), (0.0, False), (-DAY, False), (None, False)],
)
def test_policy__min_age(age: float | None, allowed: bool) -> None:
    """A file is served from its age on; without a date it never is."""
    verdict = decide(facts(age=age), Rules(min_age=7 * DAY), NOW)
    assert verdict.allowed is allowed
    if not allowed:
        assert "min_age" in verdict.reason
        until = NEVER if age is None else NOW - age + 7 * DAY
        assert verdict.until == until
        assert until == NEVER or decide(facts(age=age), Rules(min_age=7 * DAY), until).allowed


def test_policy__exempt() -> None:
    """An exempt project need not be of age, nor have a date; it may be denied all the same."""
    rules = Rules(min_age=7 * DAY, exempt=("fo*",))
    assert decide(facts(age=0), rules, NOW).allowed
    assert decide(facts(age=None), rules, NOW).allowed
    denied = Rules(min_age=7 * DAY, exempt=("foo",), deny=requirements("foo"))
    assert not decide(facts(age=0), denied, NOW).allowed


@pytest.mark.parametrize("refuse", [True, False])
def test_policy__removed(refuse: bool) -> None:
    """What its index has removed is served unless the operator says otherwise."""
    verdict = decide(facts(removed=True), Rules(refuse_removed=refuse), NOW)
    assert verdict.allowed is not refuse
    assert decide(facts(), Rules(refuse_removed=refuse), NOW).allowed


@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        (Rules(), False),
        (Rules(deny=requirements("foo")), True),
        (Rules(deny=requirements("foo<2")), False),
        (Rules(allow=requirements("bar")), True),
        (Rules(allow=requirements("foo==1.0")), False),
        (Rules(min_age=DAY), False),
    ],
)
def test_policy__project(rules: Rules, refused: bool) -> None:
    """A project is refused as such only if no file of it could be served."""
    assert decide_project("foo", rules).allowed is not refused


@given(
    st.sampled_from(["foo", "foo<2", "foo==1.0", "bar", "foo!=1.0"]).map(requirements),
    st.sampled_from(["foo", "foo<2", "bar"]).map(requirements),
    st.none() | st.sampled_from(["1.0", "2.0", "1.0rc1"]),
)
def test_policy__refused_projects_have_no_allowed_file(
    deny: tuple[Requirement, ...], allow: tuple[Requirement, ...], version: str | None
) -> None:
    """What is refused as a project is refused as every file of it."""
    rules = Rules(deny=deny, allow=allow)
    if not decide_project("foo", rules).allowed:
        assert not decide(facts(version), rules, NOW).allowed


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T22:13:20.000000Z", NOW),
        ("2023-11-14T22:13:20", NOW),
        ("2023-11-14T23:13:20+01:00", NOW),
        ("yesterday", None),
        ("", None),
        ("9999-99-99", None),
        (None, None),
    ],
)
def test_moment__of_upload_times(text: str | None, seconds: float | None) -> None:
    """Upload times are read as PEP 700 has them; what is none is unknown."""
    assert moment_of(text) == seconds


@given(st.text(max_size=40))
def test_moment__of_any_text(text: str) -> None:
    """No text raises."""
    moment = moment_of(text)
    assert moment is None or isinstance(moment, float)


@pytest.mark.parametrize(
    ("filename", "refused"),
    [
        ("foo-1.0.tar.gz", True),
        ("foo-1.0-py3-none-any.whl", True),
        ("foo-1.0.0-1-py3-none-any.whl", True),
        ("foo-1.0.linux-x86_64.tar.gz", True),
        ("Foo-1.0.zip", True),
        ("foo-1.0.post1.tar.gz", False),
        ("foo-1.0-py3.8.egg", True),
        ("foo.zip", True),
        ("foo-2.0.tar.gz", False),
    ],
)
def test_policy__file_names(filename: str, refused: bool) -> None:
    """The version is the one in the file's name, however the name is spelt."""
    rules = Rules(deny=requirements("foo==1.0"))
    assert decide(Facts("foo", filename, NOW), rules, NOW).allowed is not refused


def test_rules__touch() -> None:
    """Pages of projects that no rule is about are left alone."""
    assert not Rules(deny=requirements("bar"), refuse_removed=True).touch("foo")
    assert Rules(deny=requirements("foo<2")).touch("foo")
    assert Rules(allow=requirements("bar")).touch("foo")
    assert Rules(min_age=1).touch("foo")
    assert not Rules(min_age=1, exempt=("f*",)).touch("foo")


def test_rules__active() -> None:
    """Rules that refuse nothing cost nothing."""
    assert not Rules(exempt=("foo",)).active
    for rules in (
        Rules(min_age=1),
        Rules(deny=requirements("a")),
        Rules(allow=requirements("a")),
        Rules(refuse_removed=True),
    ):
        assert rules.active
