"""What an operator asks after a bad release: which clients fetched what, or were refused it.

`daemon` builds one; `control` serves the command `who` from it. What is remembered, and for how
long, is decided in `ledger.audit`; here it is selected and put into messages.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

import msgspec

from pypicached.errors import LedgerError, NotFoundError
from pypicached.ledger import AuditRow, Ledger
from pypicached.messages import WhoAnswer, WhoRow, iso
from pypicached.networks import ends_of, parse_network
from pypicached.requirement import Requirement
from pypicached.simple.names import version_of

# In packed form (`networks.pack`); a Unix socket has none, and sorts first.
UNIX = (b"", b"")
EVERYBODY = (b"", b"\xff" * 16)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What of a requirement (None: of everything) clients from here to there did since then."""

    requirement: Requirement | None = None
    clients: tuple[bytes, bytes] = EVERYBODY
    # Seconds since the epoch; what was last done before is left out.
    since: float = 0.0
    refused: bool = False


def parse_clients(text: str) -> tuple[bytes, bytes]:
    """Return the first and the last of an address, a network or "unix"; ValueError if it is none.

    Its sentence ends with what to write, after a semicolon.
    """
    return UNIX if text == "unix" else ends_of(parse_network(text))


class History:
    """Any number of callers."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def who(self, question: Question) -> AsyncGenerator[list[WhoRow] | WhoAnswer, None]:
        """Yield the rows, a thousand at most at a time, and then since when they are complete.

        Raises NotFoundError where nothing is noted, or nothing known of the project; LedgerError.
        """
        note = await self._flush()
        audit = self._ledger.audit
        complete_since = await audit.complete_since(refused=question.refused)
        if complete_since is None:
            raise NotFoundError('nothing is remembered of clients: [audit] keep is "off"')
        rule = question.requirement
        if rule is None:
            batches = audit.of_clients(question.clients, question.since, refused=question.refused)
        else:
            if not await audit.knows(rule.project):
                raise NotFoundError(
                    f"nothing is known of {rule.project}: it is not cached, and no client fetched "
                    f"it since {iso(complete_since)}"
                )
            batches = audit.of_project(
                rule.project, question.clients, question.since, refused=question.refused
            )
        async with contextlib.aclosing(batches):
            async for batch in batches:
                # Also where none is meant: whoever waits sees that it goes on.
                yield [row for row in map(_row, batch) if _is_meant(rule, row)]
        yield WhoAnswer(iso(complete_since), note)

    async def _flush(self) -> str:
        """Write what is pending; where that fails, return what to say of it."""
        try:
            await self._ledger.usage.flush()
        except LedgerError as error:
            return f"what was done since the last write is missing: {error}"
        return ""


def _row(row: AuditRow) -> WhoRow:
    return WhoRow(
        client=row.client,
        agent=row.agent,
        project=row.project,
        version=version_of(row.filename, row.project),
        filename=row.filename,
        first_at=iso(row.first_at),
        last_at=iso(row.last_at),
        count=row.count,
        index=row.index,
    )


def _is_meant(rule: Requirement | None, row: WhoRow) -> bool:
    # Refused was all of a project: whatever version was wanted.
    # What does not tell its version may be any.
    unsure = not row.filename or row.version is None
    return rule is None or unsure or rule.matches(row.project, row.version)
