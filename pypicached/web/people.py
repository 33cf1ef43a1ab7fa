"""Pages for people and for monitoring: `/`, `/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from aiohttp import web

from pypicached.errors import clean
from pypicached.operations import Operations
from pypicached.web.exchange import Exchange
from pypicached.web.metrics import CONTENT_TYPE, Metrics

if TYPE_CHECKING:
    from jinja2 import Template

NO_STORE = {"Cache-Control": "no-store"}
# What a reverse proxy adds: then scheme, host and prefix of clients are not those that we see.
PROXY_HEADERS = ("X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Via")
# No script, no foreign content: names from upstreams are shown here.
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class PeoplePages:
    """Handlers of everything that is no index. Never shows a URL with credentials."""

    def __init__(self, operations: Operations, metrics: Metrics) -> None:
        self._operations = operations
        self._metrics = metrics

    @cached_property
    def _template(self) -> Template:
        # Imported on first use: most daemons are never looked at with a browser.
        from jinja2 import Environment, PackageLoader  # noqa: PLC0415

        environment = Environment(loader=PackageLoader("pypicached.web"), autoescape=True)
        return environment.get_template("status.html")

    async def status(self, exchange: Exchange) -> web.Response:
        """Answer the status page."""
        status = await self._operations.status()
        rate = status.hit_rate_24h
        html = self._template.render(
            status=status,
            url=_index_url(exchange.request),
            uptime=_duration(status.uptime_seconds),
            used=_size(status.disk.used_bytes),
            limit="unlimited"
            if status.disk.limit_bytes is None
            else _size(status.disk.limit_bytes),
            hit_rate="no requests yet" if rate is None else f"{rate:.0%}",
        )
        headers = {**NO_STORE, "Content-Security-Policy": PAGE_POLICY}
        return web.Response(text=html, content_type="text/html", headers=headers)

    async def healthz(self, _: Exchange) -> web.Response:
        """The event loop answers: that is all."""
        return web.Response(text="ok\n", headers=NO_STORE)

    async def readyz(self, _: Exchange) -> web.Response:
        """Ledger and store can be used."""
        problem = await self._operations.ready()
        status, text = (200, "ready") if problem is None else (503, problem)
        return web.Response(status=status, text=f"{text}\n", headers=NO_STORE)

    async def metrics(self, _: Exchange) -> web.Response:
        """What Prometheus scrapes."""
        headers = {**NO_STORE, "Content-Type": CONTENT_TYPE}
        return web.Response(body=self._metrics.text(), headers=headers)


def _index_url(request: web.BaseRequest) -> str | None:
    """Return the address of the index as this client has it; None if only the client knows."""
    if any(name in request.headers for name in PROXY_HEADERS):
        return None
    return f"http://{clean(request.host)}/simple/"


def _size(octets: int) -> str:
    size = float(octets)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _duration(seconds: float) -> str:
    """Return "3 d 4 h" or "10 m 3 s", as `pypicached status` does: the two largest units."""
    rest, found = int(seconds), []
    for unit, factor in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, factor)
        if count:
            found.append(f"{count} {unit}")
    return " ".join(found[:2]) or "0 s"
