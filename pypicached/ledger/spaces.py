"""Under which name the pages of an index are kept: its own, and another one after each move.

Another address is another index. Its pages get a space of their own, so that those of before are
nobody's from the moment of the move on, however many there are; removing them has time.
"""

from __future__ import annotations

from collections.abc import Mapping

import aiosqlite

from pypicached.ledger.connection import Connection, read

GET_SPACES = "SELECT index_name, space FROM index_address"
GET_ADDRESS = "SELECT url, space FROM index_address WHERE index_name = ?"
PUT_ADDRESS = "INSERT OR REPLACE INTO index_address (index_name, url, space) VALUES (?, ?, ?)"
# Quarantine is of almost nothing, and moves along.
MOVE_QUARANTINED = """
    UPDATE page SET index_name = ?, state = 'removed', body = NULL, etag = NULL,
        last_modified = NULL, serial = NULL, fetched_at = 0, checked_at = 0
    WHERE index_name = ? AND status = 'quarantined'
"""
PUT_VOID = "INSERT OR REPLACE INTO void_space (name) VALUES (?)"
GET_VOID = "SELECT name FROM void_space LIMIT 1"
DELETE_VOID = "DELETE FROM void_space WHERE name = ?"
# A page of PyPI has a dozen of the file's blocks: a few milliseconds for which others wait.
CLEAR = """
    DELETE FROM page WHERE id IN (SELECT id FROM page WHERE index_name = ? LIMIT 50)
"""


def _name(index: str, space: int) -> str:
    # No index may have a name with a space in it.
    return f"{index} {space}" if space else index


class Spaces:
    """The spaces in use; all who speak of pages share it. Changed only with the ledger."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, index: str) -> str:
        """Return what `page` has as `index_name` of an index's pages."""
        return _name(index, self._numbers.get(index, 0))

    def index_of(self, space: str) -> str | None:
        """Return whose pages they are, None for nobody's."""
        index = space.partition(" ")[0]
        return index if self.of(index) == space else None

    def apply(self, numbers: Mapping[str, int]) -> None:
        """Use these from now on; their transaction has gone through."""
        self._numbers.update(numbers)


async def read_spaces(db: Connection, spaces: Spaces) -> None:
    """Have the spaces in use as the ledger knows them. Raises LedgerError."""
    spaces.apply({row[0]: row[1] for row in await read(db, GET_SPACES)})


async def write_addresses(
    db: aiosqlite.Connection, addresses: Mapping[str, str]
) -> tuple[list[str], dict[str, int]]:
    """Remember where indexes are; return those that were elsewhere, and the spaces they have now.

    What an old address said is neither fresh nor fit to be served stale, and its absence there
    means nothing. What it had put into quarantine stays there until the new one says otherwise.
    Within a transaction.
    """
    moved, numbers = [], {}
    for index, url in addresses.items():
        rows = await db.execute_fetchall(GET_ADDRESS, (index,))
        known, number = next(((row[0], row[1]) for row in rows), (None, 0))
        if known == url:
            continue
        if known is not None:
            old, number = _name(index, number), number + 1
            await db.execute(MOVE_QUARANTINED, (_name(index, number), old))
            await db.execute(PUT_VOID, (old,))
            moved.append(index)
        await db.execute(PUT_ADDRESS, (index, url, number))
        numbers[index] = number
    return moved, numbers


async def is_to_clear(db: Connection) -> bool:
    """Whether there are pages that are nobody's. Raises LedgerError."""
    return bool(await read(db, GET_VOID))


async def clear_some(db: aiosqlite.Connection) -> bool:
    """Remove a few pages that are nobody's; return whether there may be more. In a transaction."""
    for (name,) in await db.execute_fetchall(GET_VOID):
        cleared = await db.execute(CLEAR, (name,))
        if not cleared.rowcount:
            await db.execute(DELETE_VOID, (name,))
        return True
    return False
