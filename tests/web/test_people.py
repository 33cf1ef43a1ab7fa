"""What is no index: the status page, health and metrics (PRODUCT.md section 2; rule 68)."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.parse import urljoin

import pytest
from prometheus_client.parser import text_string_to_metric_families
from selectolax.lexbor import LexborHTMLParser

from pypicached import __version__
from pypicached.cli.terminal import duration
from pypicached.web.people import _duration
from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Running, running, write_config

PAGE = "/simple/alpha/"
WHEEL = make_wheel("alpha", "1.0", size_bytes=100_000)


async def samples(daemon: Running) -> dict[str, float]:
    """Return every sample of `/metrics` by its name and labels."""
    reply = await daemon.ask("/metrics")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/plain; version=")
    return {
        sample.name
        + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics"])
async def test_people__rule_68_not_to_be_stored(daemon: Running, path: str) -> None:
    """The status page, health and metrics are 200 and say `no-store`."""
    reply = await daemon.ask(path)
    assert (reply.status, reply.headers["Cache-Control"]) == (200, "no-store")


async def test_people__status_page(daemon: Running, upstream: FakeUpstream) -> None:
    """`/` names the indexes and their states, and how to use this cache; its links work."""
    upstream.add("alpha", WHEEL)
    await daemon.ask(PAGE)
    reply = await daemon.ask("/")
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    page = LexborHTMLParser(reply.text)
    rows = [[cell.text() for cell in row.css("td")] for row in page.css("tr")]
    assert ["pypi", "ok"] in [row[:2] for row in rows]
    assert __version__ in reply.text
    assert f"{daemon.url}/simple/" in reply.text
    for link in page.css("a"):
        target = link.attributes["href"] or ""
        assert not target.startswith(("/", "http"))
        assert (await daemon.ask(urljoin("/", target))).status == 200


async def test_people__status_page_through_a_proxy(daemon: Running) -> None:
    """Behind a proxy scheme, host and prefix are the client's to know: none is made up."""
    reply = await daemon.ask("/", X_Forwarded_For="192.0.2.7")
    assert "--index-url ADDRESS/simple/ PROJECT" in reply.text
    assert f"{daemon.url}/simple/" not in reply.text


async def test_people__status_page_of_a_failing_index(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """An index that fails is shown as failing."""
    await upstream.stop()
    await daemon.ask(PAGE)
    cells = [cell.text() for cell in LexborHTMLParser((await daemon.ask("/")).text).css("td")]
    assert cells[cells.index("pypi") + 1] == "failing"


async def test_people__status_page_runs_nothing_foreign(daemon: Running) -> None:
    """A Host header is escaped, and the page's policy allows no script."""
    reply = await daemon.ask("/", Host="x<script>alert(1)</script>")
    assert "<script" not in reply.text
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]


async def test_people__no_credentials_anywhere(tmp_path: Path, upstream: FakeUpstream) -> None:
    """No credential of an index is in a page, a header, a refusal or a metric."""
    upstream.require(("us3rname", "p4ssw0rd"))
    upstream.add("alpha", WHEEL)
    upstream.fault("/simple/broken/", "status", code=418)
    url = upstream.url.replace("//", "//us3rname:p4ssw0rd@", 1)
    config = write_config(tmp_path, {"name": "corp", "url": url})
    async with running(tmp_path, config=config) as daemon:
        said = []
        for path in (PAGE, "/simple/", "/", "/metrics", "/simple/broken/", "/simple/none/",
                     f"{PAGE}{WHEEL.filename}", "/readyz", "/nothing"):  # fmt: skip
            reply = await daemon.ask(path)
            said.append(f"{reply.reason} {reply.headers} {reply.text}")
        upstream.require("another")
        daemon.clock.advance(700)
        for path in (PAGE, "/", "/metrics"):
            reply = await daemon.ask(path)
            said.append(f"{reply.reason} {reply.headers} {reply.text}")
    everything = "\n".join(said)
    assert "fwd=stale; detail=" in everything
    assert "alpha-1.0-py3-none-any.whl" in everything
    assert not re.search("us3rname|p4ssw0rd|dXMzcm5hbWU6|authorization", everything, re.IGNORECASE)


async def test_people__healthz_and_readyz(daemon: Running) -> None:
    """Both are ok while ledger and store can be used, also with upstream down."""
    assert (await daemon.ask("/healthz")).text == "ok\n"
    assert (await daemon.ask("/readyz")).text == "ready\n"


async def test_people__not_ready_without_a_store(tmp_path: Path, daemon: Running) -> None:
    """`/readyz` is a 503 that says why if the store cannot be used; `/healthz` stays ok."""
    directory, away = tmp_path / "cache", tmp_path / "away"
    directory.rename(away)
    try:
        reply = await daemon.ask("/readyz")
        assert (reply.status, "cache directory" in reply.text) == (503, True)
        assert (await daemon.ask("/healthz")).status == 200
    finally:
        away.rename(directory)
    assert (await daemon.ask("/readyz")).status == 200


async def test_people__metrics_names(daemon: Running, upstream: FakeUpstream) -> None:
    """The metrics that PRODUCT.md names are there with their labels, from the first scrape on."""
    text = (await daemon.ask("/metrics")).text
    for name, kind in {
        "pypicached_requests_total": "counter",
        "pypicached_bytes_total": "counter",
        "pypicached_upstream_requests_total": "counter",
        "pypicached_verification_failures_total": "counter",
        "pypicached_cache_bytes": "gauge",
        "pypicached_request_seconds": "histogram",
    }.items():
        assert f"# TYPE {name} {kind}\n" in text
    upstream.add("alpha", WHEEL)
    await daemon.ask(PAGE)
    text = (await daemon.ask("/metrics")).text
    for line in (
        r'pypicached_requests_total\{kind="page",result="misses"\} 1\.0',
        r'pypicached_upstream_requests_total\{index="pypi",outcome="200"\} 1\.0',
        r'pypicached_bytes_total\{source="upstream"\} [1-9]',
        r'pypicached_request_seconds_bucket\{kind="page",le="\+Inf"\} 1\.0',
    ):
        assert re.search(f"^{line}", text, re.MULTILINE), line


async def test_people__metrics_move(daemon: Running, upstream: FakeUpstream) -> None:
    """Each kind of answer moves its counter by one, and bytes by what was sent."""
    upstream.add("alpha", WHEEL)
    before = await samples(daemon)
    page = await daemon.ask(PAGE, Accept=JSON)
    assert (
        await moved(daemon, before)
        >= {
            "pypicached_requests_total page misses": 1,
            "pypicached_upstream_requests_total pypi 200": 1,
        }.items()
    )
    before = await samples(daemon)
    await daemon.ask(PAGE, Accept=JSON)
    assert (
        await moved(daemon, before)
        >= {
            "pypicached_requests_total page hits": 1,
            "pypicached_bytes_total cache": len(page.body),
        }.items()
    )
    before = await samples(daemon)
    daemon.clock.advance(700)
    await daemon.ask(PAGE)
    assert (
        await moved(daemon, before)
        >= {
            "pypicached_requests_total page revalidated": 1,
            "pypicached_upstream_requests_total pypi 304": 1,
        }.items()
    )
    before = await samples(daemon)
    daemon.clock.advance(700)
    upstream.fault("*", "status", code=401)
    await daemon.ask(PAGE)
    await daemon.ask("/simple/none/")
    assert (
        await moved(daemon, before)
        >= {
            "pypicached_requests_total page stale": 1,
            "pypicached_requests_total page errors": 1,
            "pypicached_upstream_requests_total pypi 401": 2,
        }.items()
    )


async def test_people__metrics_of_files(daemon: Running, upstream: FakeUpstream) -> None:
    """A file counts as a miss, then a hit; one that is not what its page says as a failure."""
    # Up to 64 KiB, nothing has left when the digest turns out to be wrong.
    wrong = make_wheel("alpha", "2.0", size_bytes=30_000)
    upstream.add("alpha", WHEEL, wrong)
    upstream.fault(f"*/{wrong.filename}", "wrong_bytes")
    urls = [await daemon.file_url("alpha", file.filename) for file in (WHEEL, wrong)]
    good, bad = (url.removeprefix(daemon.url) for url in urls)
    before = await samples(daemon)
    for _ in range(2):
        assert (await daemon.ask(good)).body == WHEEL.body
    # The blob is put in its place behind the answer, so the second request may be a join.
    while "pypicached_cache_bytes" not in (changes := dict(await moved(daemon, before))):
        pass
    assert changes["pypicached_requests_total file misses"] == 1
    served = (changes.get(f"pypicached_requests_total file {how}", 0) for how in ("hits", "joins"))
    assert sum(served) == 1
    assert changes["pypicached_cache_bytes"] >= len(WHEEL.body)
    assert changes["pypicached_bytes_total upstream"] == len(WHEEL.body)
    before = await samples(daemon)
    assert (await daemon.ask(bad)).status == 502
    changes = dict(await moved(daemon, before))
    assert changes["pypicached_verification_failures_total"] >= 1


async def test_people__metrics_of_joined_requests(daemon: Running, upstream: FakeUpstream) -> None:
    """Of cold requests at the same time one is a miss and the others are joins."""
    upstream.add("alpha", WHEEL)
    gate = upstream.hold(PAGE)
    asked = [asyncio.ensure_future(daemon.ask(PAGE)) for _ in range(5)]
    await gate.reached()
    gate.open()
    replies = await asyncio.gather(*asked)
    told = [reply.headers["Cache-Status"] for reply in replies]
    values = await samples(daemon)
    assert values["pypicached_requests_total page misses"] == 1
    joins = values.get("pypicached_requests_total page joins", 0)
    assert joins == told.count("pypicached; fwd=miss; collapsed")


async def moved(daemon: Running, before: dict[str, float]) -> set[tuple[str, float]]:
    """Return by how much each sample has changed."""
    after = await samples(daemon)
    return {(name, value - before.get(name, 0)) for name, value in after.items()} - {
        (name, 0) for name in after
    }


@pytest.mark.parametrize("seconds", [0.0, 0.9, 59, 603.2, 3600, 3661, 86399, 86400, 90_000, 9e6])
def test_people__uptime_as_in_status(seconds: float) -> None:
    """The page says since when it runs in the words of the command."""
    assert _duration(seconds) == duration(seconds)
