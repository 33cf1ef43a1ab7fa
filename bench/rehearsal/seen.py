"""What one scenario has shown: plain records, which also are what `--json` writes."""

from __future__ import annotations

import msgspec


class Install(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a client: its exit code (None: it did not end), and what it left and said.

    `wrong` tells what is installed otherwise than published; `said` is its last words, short.
    """

    code: int | None
    seconds: float
    said: str
    output: str = ""
    wrong: list[str] = []


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One GET as a client sees it; `status` 0 is no answer, `body` what it was found to be.

    `body`: "right" (as published), "wrong" (whole, and not as published), "broken" (ended early),
    "unfinished" (still on its way at our limit) or "none" (an error).
    """

    status: int
    seconds: float
    body: str
    words: str = ""
    retry_after: int | None = None


class Pages(msgspec.Struct, frozen=True, kw_only=True):
    """All answers for the warmed pages: how many, how many of them stale, and what was not one."""

    answers: int
    stale: int
    slowest_seconds: float
    details: list[str] = []
    failed: list[str] = []


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one scenario has shown; dictionaries go by client or by filename.

    `recovered`: what was to be right again → seconds from the end of the fault, None for never.
    """

    warmed: dict[str, Install]
    unknown: dict[str, Install]
    unknown_page: Answer
    cold: dict[str, Answer]
    cached: dict[str, Answer]
    pages: Pages
    index_state: str
    index_error: str
    failures: list[str]
    recovered: dict[str, float | None]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario's line of the table: seen and judged, or not tried and why."""

    scenario: str
    title: str
    seconds: float = 0.0
    seen: Seen | None = None
    problems: list[str] = []
    not_tried: str | None = None
