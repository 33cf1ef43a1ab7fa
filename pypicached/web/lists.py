"""`/simple/` and `/{index}/simple/`: the project list, sent from a rendered file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from aiohttp import web
from multidict import CIMultiDict

from pypicached.cache.pages import Answer
from pypicached.cache.project_list import ProjectLists, RenderedList
from pypicached.cache.renderings import HTML_POLICY
from pypicached.errors import HostError, UpstreamError
from pypicached.ledger import Usage
from pypicached.simple.negotiate import Format
from pypicached.web.exchange import Exchange
from pypicached.web.ranges import matches
from pypicached.web.sending import send_stored
from pypicached.web.simple import SimplePages, not_modified


class ListPages:
    """The handler of project lists."""

    def __init__(
        self,
        lists: ProjectLists,
        pages: SimplePages,
        usage: Usage,
        *,
        cache_control: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._lists = lists
        self._pages = pages
        self._usage = usage
        # Of what is listed online.
        self.cache_control = cache_control
        self._now = now

    async def handle(self, exchange: Exchange, index: str | None) -> web.StreamResponse:
        """Answer a list. Raises what `web.errors` has a status for."""
        exchange.kind = "page"
        format_, coding = self._pages.negotiate(exchange)
        try:
            rendered, answers = await self._lists.get(index, format_, coding)
        except UpstreamError as error:
            self._usage.count("page", error.index, "errors")
            exchange.result = "errors"
            raise
        except HostError:
            exchange.result = "errors"
            raise
        oldest = min(answers, key=lambda answer: answer.page.vouched_at)
        self._count(exchange, answers, oldest)
        headers = CIMultiDict(
            {
                "Content-Type": format_.content_type,
                "Content-Length": str(rendered.length),
                "Cache-Control": self._lists.cache_control or self.cache_control,
                "Age": str(max(0, int(self._now() - oldest.page.vouched_at))),
                "Cache-Status": oldest.cache_status,
                **rendered.headers,
            }
        )
        if format_ is not Format.JSON:
            headers["Content-Security-Policy"] = HTML_POLICY
        if format_ is Format.HTML_V1:
            # The same file as text/html, but another representation (rule 32).
            headers["ETag"] = rendered.headers["ETag"][:-1] + '-v1"'
        if matches(exchange.header("If-None-Match"), headers["ETag"]):
            return not_modified(headers).response()
        fd = _open(rendered)
        try:
            response = web.StreamResponse(headers=headers)
            await exchange.prepare(response)
            if not exchange.bodiless:
                await send_stored(exchange.request, fd, 0, rendered.length)
            return response
        finally:
            os.close(fd)

    def _count(self, exchange: Exchange, answers: list[Answer], oldest: Answer) -> None:
        exchange.result = oldest.result
        for answer in answers:
            row = answer.page.row
            self._usage.count("page", row.index, answer.result)
            self._usage.touch_page(row.index, row.project)


def _open(rendered: RenderedList) -> int:
    try:
        return os.open(rendered.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        # Replaced or removed within this moment: the client's retry finds another one.
        raise HostError(f"cannot read the project list: {error.strerror}") from error
