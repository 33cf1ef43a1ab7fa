"""The syntax of EnvironmentFile= (systemd.exec(5)), case by case."""

from __future__ import annotations

import pytest

from pypicached.cli.environment_file import parse_environment_file


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("A=1\nB=2", {"A": "1", "B": "2"}),
        ("# A=1\n ; B=2\n#C=3 \\\nD=4\n", {"D": "4"}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("A=\nB=2\n", {"A": "", "B": "2"}),
        ("no assignment\nA=1\n", {"A": "1"}),
        ("export A=1\n1A=2\n=3\n", {}),
        ("  A = 1 2 \t\r\n", {"A": "1 2"}),
        ("A=s#cret # no comment\n", {"A": "s#cret # no comment"}),
        ("A=it's\n", {"A": "it's"}),
        ("A='a \\ \"b\" '  \n", {"A": 'a \\ "b" '}),
        ('A="a \\" \\\\ \\n b"\n', {"A": 'a " \\ \\n b'}),
        ("A=\"a\" 'b' c\n", {"A": "abc"}),
        ('A="two\nlines"\nB=2\n', {"A": "two\nlines", "B": "2"}),
        ("A=one\\\n two\nB=2\n", {"A": "one two", "B": "2"}),
        ("A=a\\ \\b\\\\\n", {"A": "a b\\"}),
        ("A=end\\ \n", {"A": "end "}),
    ],
)  # fmt: skip
def test_parse__syntax(text: str, expected: dict[str, str]) -> None:
    """Comments, quotes, escapes and continued lines are what systemd makes of them."""
    assert parse_environment_file(text) == expected


@pytest.mark.parametrize("text", ["A=", "A='", 'A="', "A=\\", 'A="\\', "A", "'", "\\"])
def test_parse__cut(text: str) -> None:
    """A file that ends anywhere is read to its end."""
    assert parse_environment_file(text).get("A", "").strip("\\") == ""
