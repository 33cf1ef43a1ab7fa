"""The table of rules and tests in README.md: read right, and true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.rules import README, START, STOP, Holder, find_tests, render, rules_in, with_table


@pytest.mark.parametrize(
    ("name", "words", "rules"),
    [
        ("test_page__rule_03_redirect", "", {3}),
        ("test_sidecar__rule_18_19_made", "", {18, 19}),
        ("test_file__rule_48_100_clients", "", {48}),
        ("test_parse__rule_15_to_17_kept", "", {15, 16, 17}),
        ("test_file__rule_49[rule_50]", "Of rule 54, and no other.", {49, 54}),
        ("test_file__early", "What rules 49, 51 and 54 say.", {49, 51, 54}),
        ("test_file__early", "See rule_07.", {7}),
        ("test_rule_of_thumb", "There are 12 rules, 3 of them new; rule 700 is not one.", set()),
    ],
    ids=lambda _: "said",  # an id that said a rule would be found by `-k`
)
def test_rules__said_by_a_test(name: str, words: str, rules: set[int]) -> None:
    """Names and docstrings tell the rules, and other numbers are none."""
    assert rules_in(name, words) == rules


def test_rules__found_in_sources(tmp_path: Path) -> None:
    """Functions and methods count, helpers and other files do not."""
    (tmp_path / "test_a.py").write_text(
        'def test_a__rule_01_x():\n    """Rule 2."""\n'
        "class TestB:\n    async def test_b__rule_03(self): ...\n"
        "def check__rule_04(): ...\n"
    )
    (tmp_path / "b.py").write_text("def test_c__rule_05(): ...\n")
    assert sorted(find_tests(tmp_path)) == [
        Holder("test_a.py", "test_a__rule_01_x", frozenset({1, 2})),
        Holder("test_a.py", "test_b__rule_03", frozenset({3})),
    ]


def test_rules__table() -> None:
    """A rule is a row with its tests by module; what has none is said."""
    table = render(
        [Holder("a.py", "test_x", frozenset({1, 69})), Holder("a.py", "test_y", frozenset({1}))]
    )
    assert "| 1 | a.py: `x`, `y` |\n| 69 | a.py: `x` |\n" in table
    assert "Without a test of their own: 2, 3," in table


def said_in(table: str) -> set[tuple[int, str, str]]:
    """Return (rule, module, test) of each that a table names."""
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", table, re.MULTILINE)
    said = set()
    for number, row in rows:
        for cell in row.split("<br>"):
            module, names = cell.split(": ")
            said |= {(int(number), module, name) for name in names.split(", ")}
    return said


def test_rules__readme_says_nothing_untrue() -> None:
    """What README.md names is there, and the rules that it says have no test have none.

    A further test of a rule that has one need not be named at once.
    """
    text, table = README.read_text(), render(find_tests())
    written = text.partition(START)[2].partition(STOP)[0]
    assert said_in(written) - said_in(table) == set(), "run python -m tests.rules --write"
    assert written.strip().splitlines()[-1] == table.splitlines()[-1]
    assert with_table(with_table(text, "x"), written.strip()) == text


@pytest.mark.parametrize("_said", ["as_in_rule_68_69"])
def test_rules__keyword_of_each(request: pytest.FixtureRequest, _said: str) -> None:
    """Each of several numbers in a name is a keyword, so that `-k` finds it."""
    assert {"rule_68", "rule_69"} <= request.node.listextrakeywords()
