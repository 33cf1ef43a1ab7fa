"""Whether what a scenario has shown is what the product promises for it. Pure.

Every judgement is a sentence about what is wrong; none means as expected.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from bench.rehearsal.promises import (
    CLIENT_SECONDS,
    COLD_SECONDS,
    RECOVERY_SECONDS,
    RETRY_AFTER_SECONDS,
    SLOWEST_PAGE_SECONDS,
)
from bench.rehearsal.seen import Answer, Install, Pages, Seen

# Our reason phrases start so: the index is named in every one of them.
OURS = "index pypi: "
# How a client says that a project does not exist.
ABSENCE = ("was not found in the package registry", "404 Not Found", "404 Client Error")


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What is promised: of warmed pages, and of a project that nobody has asked for before.

    "gone": upstream says that everything was removed, which is truth and no outage (rule 43).
    "reachable": pages are as ever, only files cannot be had.
    """

    pages: Literal["stale", "reachable", "gone"] = "stale"


def judge(expected: Expected, seen: Seen) -> list[str]:
    """Return what is otherwise than promised, a sentence each."""
    problems = [*_judge_pages(expected, seen.pages), *_judge_recovery(seen)]
    if expected.pages == "gone":
        return [*problems, *_judge_removal(seen)]
    for tool, install in seen.warmed.items():
        problems += _judge_warmed(tool, install)
    for tool, install in seen.unknown.items():
        problems += _judge_unknown(tool, install)
    if expected.pages == "stale":
        problems += _judge_error("the unknown page", seen.unknown_page)
        if seen.index_state != "failing" or not seen.index_error:
            problems.append(f'status calls the index "{seen.index_state}", not failing, and why')
    elif not seen.failures:
        problems.append("status shows no failure of a file")
    for filename, answer in seen.cold.items():
        problems += _judge_cold(filename, answer)
    return problems


def _judge_pages(expected: Expected, pages: Pages) -> Iterator[str]:
    yield from pages.failed
    if pages.slowest_seconds >= SLOWEST_PAGE_SECONDS:
        yield f"the slowest page took {pages.slowest_seconds:.1f} s"
    if expected.pages == "stale" and not pages.stale:
        yield "no page was stale: the fault did not strike"


def _judge_recovery(seen: Seen) -> Iterator[str]:
    for what, seconds in seen.recovered.items():
        if seconds is None:
            yield f"{what} was not right again {RECOVERY_SECONDS:.0f} s after the fault"


def _judge_removal(seen: Seen) -> Iterator[str]:
    """Removed is 404 for pages; what is cached still answers at its own URL."""
    for tool, install in [*seen.warmed.items(), *seen.unknown.items()]:
        if install.code == 0:
            yield f"{tool} installed what upstream says is gone"
    if seen.unknown_page.status != 404:
        yield f"the unknown page was {seen.unknown_page.status}, not upstream's 404"
    for filename, answer in seen.cached.items():
        if (answer.status, answer.body) != (200, "right"):
            yield f"the cached {filename} was {answer.status} and {answer.body} at its URL"


def _judge_warmed(tool: str, install: Install) -> Iterator[str]:
    if install.code != 0:
        yield f"{tool} did not install what is cached: {install.said}"
    yield from (f"{tool} installed {wrong}" for wrong in install.wrong)


def _judge_unknown(tool: str, install: Install) -> Iterator[str]:
    if install.code == 0:
        yield f"{tool} installed what cannot be had: the fault did not strike"
        return
    if install.code is None or install.seconds > CLIENT_SECONDS:
        yield f"{tool} took {install.seconds:.0f} s to fail for the unknown project"
    if any(words in install.output for words in ABSENCE):
        yield f"{tool} says that the unknown project does not exist"
    # pip shows the reason of a file, and of a page nothing but "from versions: none".
    if tool == "uv" and OURS not in install.output:
        yield f"uv does not show the reason for the unknown project: {install.said}"


def _judge_error(what: str, answer: Answer) -> Iterator[str]:
    """An error is 502 or 503, in time, with our words and a small Retry-After (rule 41)."""
    if answer.status not in (502, 503):
        yield f"{what} was {answer.status} ({answer.body}) instead of a 502 or 503"
        return
    if answer.seconds > COLD_SECONDS:
        yield f"{what} took {answer.seconds:.1f} s to fail"
    if OURS not in answer.words:
        yield f"{what} gives no reason of ours: {answer.words}"
    if answer.retry_after is None or answer.retry_after > RETRY_AFTER_SECONDS:
        yield f"{what} says Retry-After: {answer.retry_after}"


def _judge_cold(filename: str, answer: Answer) -> Iterator[str]:
    if answer.status == 200:
        # Its headers left before it failed: then nothing but an end before the last byte is right.
        if answer.body not in ("broken", "unfinished"):
            yield f"the cold {filename} came whole, and {answer.body}"
    else:
        yield from _judge_error(f"the cold {filename}", answer)
