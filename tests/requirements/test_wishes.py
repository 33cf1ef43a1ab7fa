"""One requirement: normalized, refused with a reason, or told to be on no index."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from pypicached.requirements.model import Origin
from pypicached.requirements.wishes import NotOnIndexError, parse_wish

HERE = Origin("requirements.txt", 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Flask", "flask"),
        ("zope.interface == 5.*", "zope-interface==5.*"),
        ("requests [Sec_X, socks] >= 2.8.1, == 2.8.*", "requests[sec-x,socks]==2.8.*,>=2.8.1"),
        ("flask>=2 ; python_version < '3.13'", 'flask>=2; python_version < "3.13"'),
        ("a (>=1)", "a>=1"),
        ("a>=1 ;", "a>=1"),
        ("a===1-odd ; os_name == 'nt'", 'a===1-odd ; os_name == "nt"'),
    ],
)  # fmt: skip
def test_wish__normalized(text: str, expected: str) -> None:
    """Names, extras and versions are normalized; markers stay; the result reads the same again."""
    assert parse_wish(text, HERE).text == expected
    assert parse_wish(expected, HERE).text == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("foo bar", "(column 5)"),
        ("foo=1", '(column 4); a version is compared with "=="'),
        ("foo[", '"]" for "["'),
        ("foo; nonsense == '1'", "marker variable"),
        ("", "package name"),
        ("base/requirements.txt", "is named with -r"),
        ("foo==" + "9" * 5000, "more than 4000 characters"),
        ("foo; " + "(" * 3000, "is no requirement"),
        ("foo\x00", "is no requirement"),
    ],
)
def test_wish__is_none(text: str, reason: str) -> None:
    """What is no requirement is refused with a reason and, where it is known, the column."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_wish(text, HERE)
    assert not isinstance(caught.value, NotOnIndexError)
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("foo @ https://user:s3cret@index.test/foo-1.zip", '"foo", which comes from an address,'),
        ("foo[a]@git+ssh://git@index.test/s3cret", '"foo", which comes from version control,'),
        ("git+https://s3cret@index.test/x.git#egg=x", "version control"),
        ("git@index.test:s3cret/x.git", "an address"),
        ("https://user:s3cret@index.test/x-1-py3-none-any.whl ; os_name == 'nt'", "x-1-py3-none"),
        ("https://s3cret@index.test/archive/", "an address"),
        ("./downloads/x-1.tar.gz[extra]", 'the file "x-1.tar.gz"'),
        ("x-1.zip [a]", 'the file "x-1.zip"'),
        ("x-1-py3-none-any.whl", 'the file "x-1-py3-none-any.whl"'),
        (".", 'the local path "."'),
        (".[dev]", 'the local path "."'),
        ("vendor/thing", 'the local path "vendor/thing"'),
        ("file:///srv/x", "an address"),
    ],
)
def test_wish__on_no_index(text: str, named: str) -> None:
    """Addresses, version control and local paths are told apart, and their secrets not repeated."""
    with pytest.raises(NotOnIndexError) as caught:
        parse_wish(text, HERE)
    assert named in str(caught.value)
    assert "s3cret" not in str(caught.value)


LIKELY = r"[a-z]{1,3} ?(\[[a-z,]*\])? ?([<>=!~]=?[0-9.*]{1,4})?(;.{0,20})?"


@given(st.text(max_size=60) | st.from_regex(LIKELY))
def test_wish__anything(text: str) -> None:
    """Any text is a requirement that packaging reads, too, or a ValueError in printable words."""
    try:
        wish = parse_wish(text, HERE)
    except ValueError as error:
        reason = str(error)
    else:
        reason = ""
        assert Requirement(wish.text).url is None
        assert parse_wish(wish.text, HERE) == wish
    assert reason.isprintable()
