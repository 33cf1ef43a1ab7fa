"""No statement of normal traffic reads a whole table: SQLite itself is asked (DESIGN, Ledger)."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from pypicached.ledger import Ledger, audit, files, pages, shared, spaces, usage

# Statements that may read a whole table or index, and why.
SCANNING = {
    ("pages", "EXPIRE_ALL"): "`invalidate --all` means all",
    ("pages", "FORGET_ALL"): "`invalidate --all` means all",
    ("pages", "QUARANTINED"): "at start, over an index that holds those rows alone",
    ("shared", "FORGET1"): "at a start with another store: all that was known of the last one",
    ("shared", "OLDEST"): "the first row of its index",
    ("spaces", "GET_SPACES"): "at start, a row per index that ever was",
    ("spaces", "GET_VOID"): "of what is left to remove, the first row",
}
# Statements that search, and then sort or group what they found, and why that is little.
SORTING = {
    ("usage", "BY_KIND"): "rows per hour, bounded by age",
    ("usage", "BY_INDEX"): "rows per hour, bounded by age",
    ("usage", "PAGES_BY_INDEX"): "rows per hour, bounded by age",
    ("usage", "TOP"): "rows per hour, bounded by age",
}
FILLING = re.compile(r"\s*(SELECT|UPDATE|DELETE|INSERT|WITH)\b", re.IGNORECASE)


def statements(module: ModuleType) -> list[tuple[str, str]]:
    """Return (name, SQL) of a module's constants."""
    found = []
    for name, value in vars(module).items():
        for number, text in enumerate(value if isinstance(value, tuple) else (value,)):
            if name.isupper() and isinstance(text, str) and FILLING.match(text):
                found.append((f"{name}{number or ''}", text))
    return found


ALL = [
    (module.__name__.rpartition(".")[2], name, sql)
    for module in (audit, files, pages, shared, spaces, usage)
    for name, sql in statements(module)
]


def test_plans__statements_are_found() -> None:
    """The modules' statements are constants, so that this file sees them."""
    assert len(ALL) > 25
    assert {*SCANNING, *SORTING} <= {(module, name) for module, name, _ in ALL}


@pytest.mark.parametrize(("module", "name", "sql"), ALL, ids=[f"{m}.{n}" for m, n, _ in ALL])
async def test_plans__no_scan(ledger: Ledger, module: str, name: str, sql: str) -> None:
    """Each statement searches by an index; those that need not are listed, and still do not."""
    db = ledger.files._commands
    rows = await db.execute_fetchall(f"EXPLAIN QUERY PLAN {sql}", (0,) * sql.count("?"))
    plan = [row[3] for row in rows]
    scans = any(step.startswith("SCAN") and "CONSTANT ROW" not in step for step in plan)
    sorts = any("TEMP B-TREE" in step for step in plan)
    assert scans == ((module, name) in SCANNING), plan
    assert sorts == ((module, name) in SORTING), plan


async def test_plans__what_triggers_do(ledger: Ledger) -> None:
    """What is counted with each change is one row, found by its key."""
    db = ledger.files._commands
    rows = await db.execute_fetchall("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
    updates = {row[0]: re.findall(r"UPDATE \w+ SET.*?;", row[1], re.DOTALL) for row in rows}
    assert len(updates) == 11
    assert all(
        len(found) == 1 and re.search(r"WHERE (id = 1|refused = (new|old)\.refused);", found[0])
        for found in updates.values()
    )


@pytest.mark.parametrize("index", [True, False])
async def test_plans__expiring_one_index(ledger: Ledger, index: bool) -> None:
    """`invalidate PROJECT` finds its rows by an index with and without an index's name."""
    db = ledger.files._commands
    for sql in (pages.EXPIRE_PRESENT, pages.FORGET_ABSENT):
        whole = sql + (pages.AND_INDEX if index else "")
        rows = await db.execute_fetchall(f"EXPLAIN QUERY PLAN {whole}", ("",) * whole.count("?"))
        assert all(row[3].startswith("SEARCH") for row in rows)
