"""Long work on the event loop lets others run (invariant 10), told by turns and not by time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable

import pytest

from pypicached.cache.stepping import each_in_turn, in_steps, one_ahead
from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.simple.parse import page_steps
from pypicached.simple.render import html_pieces, json_pieces, render_html, render_json
from pypicached.simple.steps import STEP_ROWS


async def turns_during(work: Awaitable[object]) -> int:
    """Return how often another task ran while the work was done."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    await work
    other.cancel()
    return turns


async def test_stepping__others_run_between_steps() -> None:
    """Parsing and rendering a page of many files gives way once per step at least."""
    files = [
        ProjectFile(filename=f"foo-1.{i}.tar.gz", url=f"https://files.example/foo-1.{i}.tar.gz")
        for i in range(10 * STEP_ROWS)
    ]
    page = ProjectPage(name="foo", files=files)
    prefix = "https://files.example/"
    url = "https://index.example/simple/foo/"
    rendered = {"json": render_json(page, prefix), "html": render_html(page, prefix)}
    types = {"json": "application/vnd.pypi.simple.v1+json", "html": "text/html"}
    for kind, body in rendered.items():
        assert await turns_during(in_steps(page_steps(body, types[kind], url, "foo"))) >= 10
    for pieces, whole in (
        (json_pieces(page, prefix), rendered["json"]),
        (html_pieces(page, prefix), rendered["html"]),
    ):
        taken: list[bytes] = []
        assert await turns_during(each_in_turn(pieces, taken.append)) >= 10
        assert b"".join(taken) == whole


async def numbers(made: list[int], end: int) -> AsyncGenerator[int, None]:
    """Yield 0, 1, …; fail at `end`."""
    for n in range(end):
        made.append(n)
        yield n
    raise ValueError("no more")


async def test_one_ahead__makes_the_next_meanwhile() -> None:
    """All items come, in order, each made while the one before it is worked on."""
    made: list[int] = []
    got: list[int] = []
    try:
        async for n in one_ahead(numbers(made, 3)):
            await asyncio.sleep(0)
            got.append(n)
            assert made == list(range(min(n + 2, 3)))
    except ValueError:
        got.append(-1)
    assert got == [0, 1, 2, -1]


async def test_one_ahead__left_early() -> None:
    """Who leaves is not told of what failed ahead, and nothing goes on behind."""
    items = numbers([], 1)
    async with contextlib.aclosing(one_ahead(items)) as ahead:
        assert await anext(ahead) == 0
        await asyncio.sleep(0)
    with pytest.raises(StopAsyncIteration):
        await anext(items)
