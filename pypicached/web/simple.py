"""Project pages and project lists: negotiation, conditions, freshness headers.

A hit in memory is answered with ready bytes and one copied set of headers: no SQL, no JSON, no
compression, no thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import parse_qs

from aiohttp import web
from multidict import CIMultiDict

from pypicached.cache.catalog import Catalog
from pypicached.cache.decoded import DecodedPages
from pypicached.cache.gate import Gate, refuse
from pypicached.cache.pages import HIT, Answer
from pypicached.cache.renderings import VARY, Rendering, Variant
from pypicached.errors import (
    BadNameError,
    FileNotListedError,
    NotAcceptableError,
    OfflineError,
    UpstreamError,
)
from pypicached.ledger import Usage
from pypicached.simple.names import is_valid, normalize
from pypicached.simple.negotiate import Format, choose_coding, choose_format
from pypicached.simple.urls import link_path
from pypicached.web.exchange import Asked, Exchange, Whole
from pypicached.web.ranges import matches
from pypicached.web.sending import PIECE_BYTES

MAX_MEMO = 1000
MAX_QUERY = 1024
FORMATS = ", ".join(format_.value for format_ in Format)


class SimplePages:
    """Handlers of `/simple/{project}/` and `/{index}/simple/{project}/`."""

    def __init__(
        self,
        catalog: Catalog,
        usage: Usage,
        decoded: DecodedPages,
        gate: Gate,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._decoded = decoded
        self._gate = gate
        self._usage = usage
        self._now = now
        # Clients send a handful of header pairs; each is understood once.
        self._negotiated: dict[tuple[str | None, str | None, str], tuple[Format, str]] = {}

    def negotiate(self, exchange: Asked) -> tuple[Format, str]:
        """Return format and coding of the answer; NotAcceptableError if there is none."""
        key = (exchange.header("Accept"), exchange.header("Accept-Encoding"), exchange.query)
        found = self._negotiated.get(key)
        if found is None:
            format_ = choose_format(key[0], _format_of(exchange.query))
            coding = choose_coding(key[1])
            if format_ is None or coding is None:
                raise NotAcceptableError(f"this index can answer with: {FORMATS}")
            if len(self._negotiated) >= MAX_MEMO:
                self._negotiated.clear()
            found = self._negotiated[key] = (format_, coding)
        return found

    async def page(self, exchange: Exchange, raw_name: str, index: str | None) -> web.Response:
        """Answer a project page. `raw_name` is the path segment as it came."""
        exchange.kind = "page"
        project = checked_name(raw_name)
        if project != raw_name:
            return redirect(exchange, f"../{project}/", 301)
        forced = self._forced(exchange)
        while True:
            self._gate.check_name(project)
            variant = self._variant(exchange)
            answer, rendering = await self._rendered(exchange, project, index, variant, forced)
            if variant.policy == self._gate.revision:
                break  # else it was overtaken by a reload: other rules are in force
        if rendering.refused is not None:
            exchange.index = answer.page.row.index
            refuse(rendering.refused, project)
        return self._whole(exchange, answer, rendering).response()

    async def _rendered(
        self, exchange: Exchange, project: str, index: str | None, variant: Variant, forced: bool
    ) -> tuple[Answer, Rendering]:
        """Return a page as it is wanted; `forced`: as upstream has it now."""
        page = self._catalog.ready(project, index)
        if page is not None and page.row.state == "present" and not forced:
            answer = Answer(page, "hits", HIT)
        else:
            answer = await self._ask(exchange, project, index, no_cache=forced, wanted=variant)
        rendering = answer.page.renderings.get(variant)
        if rendering is None or not rendering.holds(self._now()):
            owner = self._catalog.pages[answer.page.row.index]
            rendering = await owner.render(answer.page, variant)
        return answer, rendering

    def at_hand(self, asked: Asked, project: str, index: str | None) -> Whole | None:
        """Return a page that can be sent in one piece, if memory has it and it is fresh.

        None for all that `page` has to look at more closely. Raises RefusedError.
        """
        asked.kind = "page"
        if normalize(project) != project or not is_valid(project):
            return None
        self._gate.check_name(project)
        page = self._catalog.ready(project, index)
        if page is None or page.row.state != "present" or self._forced(asked):
            return None
        rendering = page.renderings.get(self._variant(asked))
        if (
            rendering is None
            or rendering.refused is not None
            or len(rendering.body) > PIECE_BYTES
            or not rendering.holds(self._now())
        ):
            return None
        return self._whole(asked, Answer(page, "hits", HIT), rendering)

    def with_slash(self, exchange: Exchange, raw_name: str) -> web.Response:
        """Redirect `/simple/{project}` to its page, normalized at once."""
        return redirect(exchange, f"{checked_name(raw_name)}/", 301)

    async def _ask(
        self,
        exchange: Exchange,
        project: str,
        index: str | None,
        *,
        no_cache: bool,
        wanted: Variant | None = None,
    ) -> Answer:
        try:
            return await self._catalog.page(project, index, no_cache=no_cache, wanted=wanted)
        except UpstreamError as error:
            self._usage.count("page", error.index, "errors")
            exchange.index, exchange.result = error.index, "errors"
            raise
        except OfflineError:
            exchange.result = "errors"
            raise

    def _variant(self, asked: Asked) -> Variant:
        revision, cached = self._gate.revision, self._catalog.cached_set
        return Variant(*self.negotiate(asked), asked.up, revision, cached)

    @staticmethod
    def _forced(asked: Asked) -> bool:
        return "no-cache" in (asked.header("Cache-Control") or "").lower()

    def _whole(self, asked: Asked, answer: Answer, rendering: Rendering) -> Whole:
        """Count the request, and return what it is answered with."""
        row = answer.page.row
        asked.index, asked.result = row.index, answer.result
        headers = rendering.headers.copy()
        headers["Age"] = str(max(0, int(self._now() - answer.page.vouched_at)))
        headers["Cache-Status"] = answer.cache_status
        unchanged = matches(asked.header("If-None-Match"), rendering.etag)
        sent = 0 if unchanged or asked.bodiless else len(rendering.body)
        from_cache = 0 if answer.result == "misses" else sent
        self._usage.count("page", row.index, answer.result, row.project, from_cache)
        self._usage.touch_page(row.index, row.project)
        return not_modified(headers) if unchanged else Whole(200, headers, rendering.body)

    async def file(
        self, exchange: Exchange, raw_name: str, filename: str, index: str | None
    ) -> web.Response:
        """Redirect `/simple/{project}/{filename}` to the file of that name (proxpi's URLs)."""
        exchange.kind = "page"
        project = checked_name(raw_name)
        self._gate.check_name(project)
        answer = await self._ask(exchange, project, index, no_cache=False)
        sidecar = filename.endswith(".metadata")
        wanted = filename.removesuffix(".metadata")
        page = self._decoded.get(answer.page.row).page
        # Nothing of a quarantined project is listed.
        for file in page.files if page.status != "quarantined" else ():
            if file.filename == wanted:
                self._gate.check_listed(answer.page.row.index, project, file)
                link = f"{exchange.up}files/{answer.page.row.index}/{link_path(file.url)}"
                return redirect(exchange, link + (".metadata" if sidecar else ""), 302)
        raise FileNotListedError("the project's page lists no file of that name")


def checked_name(raw_name: str) -> str:
    """Return the normalized project name; BadNameError outside the grammar (rule 4)."""
    if not is_valid(raw_name):
        raise BadNameError("that is no project name")
    return normalize(raw_name)


def redirect(exchange: Exchange, location: str, status: int) -> web.Response:
    """Build a relative redirect that keeps the query (rules 2, 3)."""
    query = f"?{exchange.query}" if exchange.query else ""
    # A normalized name stays what it is; what a project lists does not.
    lasting = "public, max-age=600" if status == 301 else "no-cache"
    headers = {
        "Location": location + query,
        "Cache-Control": lasting,
        # By this `pypicached-client` knows us behind a proxy that puts its own Server for ours.
        "Cache-Status": "pypicached",
        "Content-Length": "0",
    }
    return web.Response(status=status, headers=headers)


def not_modified(headers: CIMultiDict[str]) -> Whole:
    """Make a 304 with the headers that a 200 would have had (RFC 9110 §15.4.5)."""
    for name in ("Content-Length", "Content-Type", "Content-Encoding"):
        headers.pop(name, None)
    headers["Vary"] = VARY
    return Whole(304, headers, b"")


def _format_of(query: str) -> str | None:
    """Return the value of `format`, the first of it; junk of any length has none."""
    if "format=" not in query or len(query) > MAX_QUERY:
        return None
    wanted = parse_qs(query).get("format")
    return wanted[0] if wanted else None
