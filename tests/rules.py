"""Which test holds which HTTP rule: `python -m tests.rules` prints the table, `--write` keeps it.

A test says its rules in its name (`test_page__rule_03_…`, `…__rule_18_19_…` for two) or in its
docstring ("rule 54", "rules 49, 51 and 54"); `rule_15_to_17` is three. Nothing is imported: the
sources are read.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent
README = TESTS / "README.md"
NUMBERS = range(1, 70)
START, STOP = "<!-- rules: made by `python -m tests.rules --write` -->\n", "<!-- /rules -->\n"

_IN_NAME = re.compile(r"_rule((?:(?:_to)?_\d\d(?![0-9]))+)")
_IN_WORDS = re.compile(r"\brules?[ _](\d+(?:(?:, | and |, and )\d+)*)", re.IGNORECASE)


class Holder(NamedTuple):
    """A test that holds some rules; `module` is its path below `tests/`."""

    module: str
    name: str
    rules: frozenset[int]


def rules_in(name: str, words: str) -> frozenset[int]:
    """Return the rules that a test's name and docstring say."""
    found = [*_IN_NAME.findall(name), *_IN_WORDS.findall(words)]
    numbers = {number for part in found for number in _numbers(part)}
    return frozenset(numbers & set(NUMBERS))


def _numbers(part: str) -> Iterator[int]:
    for first, last in re.findall(r"(\d+)(?:_to_(\d+))?", part):
        yield from range(int(first), int(last or first) + 1)


def find_tests(root: Path = TESTS) -> list[Holder]:
    """Return every test below `root` that names a rule, in order."""
    return [test for path in sorted(root.rglob("test_*.py")) for test in _tests_of(path, root)]


def _tests_of(path: Path, root: Path) -> Iterator[Holder]:
    module = path.relative_to(root).as_posix()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
            "test_"
        ):
            rules = rules_in(node.name, ast.get_docstring(node) or "")
            if rules:
                yield Holder(module, node.name, rules)


def render(tests: Iterable[Holder]) -> str:
    """Return the table, and a line with the rules that have no test."""
    tests = list(tests)
    lines = ["| rule | tests |", "|---|---|"]
    missing = []
    for number in NUMBERS:
        cells = _cells([test for test in tests if number in test.rules])
        if cells:
            lines.append(f"| {number} | {'<br>'.join(cells)} |")
        else:
            missing.append(str(number))
    return "\n".join([*lines, "", f"Without a test of their own: {', '.join(missing) or 'none'}."])


def _cells(tests: list[Holder]) -> list[str]:
    """Return a line for each module, its tests by what they say after the subject."""
    modules: dict[str, list[str]] = {}
    for test in tests:
        modules.setdefault(test.module, []).append(f"`{test.name.removeprefix('test_')}`")
    return [f"{module}: {', '.join(names)}" for module, names in modules.items()]


def with_table(text: str, table: str) -> str:
    """Return the README with this table between its marks."""
    before, _, rest = text.partition(START)
    _, stop, after = rest.partition(STOP)
    if not stop:
        raise ValueError(f"no {START.strip()} … {STOP.strip()} in it")
    return f"{before}{START}\n{table}\n\n{STOP}{after}"


def main(arguments: list[str]) -> None:
    """Print the table, or write it into the README."""
    table = render(find_tests())
    if "--write" in arguments:
        README.write_text(with_table(README.read_text(), table))
    else:
        sys.stdout.write(table + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
