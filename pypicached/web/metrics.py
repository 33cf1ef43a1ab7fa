"""`/metrics`: what Prometheus reads. Counters are taken from where they are kept, at each scrape.

Only the latency histogram is observed here; nothing else costs a request anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from pypicached.cache.blobs import Blobs
from pypicached.cache.files import Files
from pypicached.cache.fleet import Fleet
from pypicached.cache.observe import Observations
from pypicached.ledger import Usage
from pypicached.upstream import BUCKETS as UPSTREAM_BUCKETS
from pypicached.upstream import Connection

CONTENT_TYPE = CONTENT_TYPE_LATEST
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One registry of our own, so that nothing of this process leaks in."""

    def __init__(
        self,
        usage: Usage,
        blobs: Blobs,
        files: Files,
        observations: Observations,
        connections: Collection[Connection],
        fleet: Fleet | None = None,
    ) -> None:
        self._usage = usage
        self._blobs = blobs
        self._files = files
        self._observations = observations
        self._connections = connections
        self._fleet = fleet
        self._registry = CollectorRegistry()
        self._latency = Histogram(
            "pypicached_request_seconds",
            "Time to answer; of a body over 64 KiB, until its last byte was sent.",
            ["kind"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._children = {
            kind: self._latency.labels(kind) for kind in ("page", "file", "metadata", "other")
        }
        # By rule.
        self._refusals: Counter[str] = Counter()
        self._registry.register(self)

    def observe(self, kind: str, seconds: float) -> None:
        """One request was answered."""
        self._children[kind].observe(seconds)

    def refused(self, rule: str) -> None:
        """One request was refused by a rule."""
        self._refusals[rule] += 1

    def text(self) -> bytes:
        """Return everything in the text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the counters that are kept elsewhere (the collector protocol of the client)."""
        requests = CounterMetricFamily(
            "pypicached_requests", "Answered requests.", labels=["kind", "result"]
        )
        stale = CounterMetricFamily(
            "pypicached_stale_answers", "Pages that were answered stale.", labels=["index"]
        )
        results: Counter[tuple[str, str]] = Counter()
        stales: Counter[str] = Counter()
        for (kind, result, index), value in self._usage.requests.items():
            results[kind, result] += value
            if result == "stale":
                stales[index] += value
        for labels, value in sorted(results.items()):
            requests.add_metric(labels, value)
        for index, value in sorted(stales.items()):
            stale.add_metric([index], value)
        yield from (requests, stale, *self._upstreams())
        octets = CounterMetricFamily(
            "pypicached_bytes", "Body bytes, from the cache or from upstream.", labels=["source"]
        )
        for source in ("cache", "upstream"):
            octets.add_metric([source], self._usage.octets[source])
        if self._fleet is not None:
            octets.add_metric(["store"], self._fleet.shared.received_bytes)
            yield from _store(self._fleet)
        yield octets
        upstream = CounterMetricFamily(
            "pypicached_upstream_requests", "Requests to upstreams.", labels=["index", "outcome"]
        )
        for labels, value in sorted(self._usage.upstream.items()):
            upstream.add_metric(labels, value)
        yield upstream
        refusals = CounterMetricFamily(
            "pypicached_refusals", "Requests that a rule refused.", labels=["rule"]
        )
        for rule, value in sorted(self._refusals.items()):
            refusals.add_metric([rule], value)
        yield refusals
        yield CounterMetricFamily(
            "pypicached_removed_files",
            "Cached files that their index was found to list no more.",
            value=self._observations.removed_files,
        )
        yield CounterMetricFamily(
            "pypicached_verification_failures",
            "Files from upstream that did not match their length or digest.",
            value=self._observations.verification_failures,
        )
        yield CounterMetricFamily(
            "pypicached_damaged_files",
            "Stored files that were damaged or unreadable when they were asked for.",
            value=self._observations.damaged_files,
        )
        yield CounterMetricFamily(
            "pypicached_passed_through",
            "Files that were streamed through because they could not be kept.",
            value=self._observations.passed_through,
        )
        yield GaugeMetricFamily(
            "pypicached_cache_bytes", "Disk used by the cache.", value=self._blobs.budget.used_bytes
        )
        yield GaugeMetricFamily(
            "pypicached_downloads", "Downloads that run now.", value=len(self._files.downloads)
        )

    def _upstreams(self) -> Iterator[Metric]:
        """Yield what is known of each host of each index."""
        up = GaugeMetricFamily(
            "pypicached_upstream_up", "0 while a host is held to fail.", labels=["index", "host"]
        )
        seconds = HistogramMetricFamily(
            "pypicached_upstream_seconds",
            "Time to the head of an upstream's answer.",
            labels=["index", "host"],
        )
        yield GaugeMetricFamily(
            "pypicached_offline",
            "1 while upstreams are not asked, by the operator's word.",
            value=any(connection.offline for connection in self._connections),
        )
        bounds = [*map(str, UPSTREAM_BUCKETS), "+Inf"]
        for connection in self._connections:
            for host in connection.hosts:
                labels = [connection.name, host.name]
                up.add_metric(labels, 0 if host.breaker.open else 1)
                sums = list(zip(bounds, accumulate(host.latency.counts), strict=True))
                seconds.add_metric(labels, sums, host.latency.total_seconds)
        yield up
        yield seconds


def _store(fleet: Fleet) -> Iterator[Metric]:
    """Yield what is known of the store that hosts share."""
    yield GaugeMetricFamily(
        "pypicached_store_up",
        "0 while the shared store is held to fail.",
        value=0 if fleet.health.failing else 1,
    )
    yield GaugeMetricFamily(
        "pypicached_store_writable",
        "0 while the shared store refuses what is put there.",
        value=0 if fleet.writing.failing else 1,
    )
    yield GaugeMetricFamily(
        "pypicached_store_waiting_files",
        "Files that are yet to be put into the shared store.",
        value=fleet.uploads.waiting_blobs,
    )
    yield GaugeMetricFamily(
        "pypicached_store_waiting_bytes", "Their bytes.", value=fleet.uploads.waiting_bytes
    )
    files = CounterMetricFamily(
        "pypicached_store_files",
        "Files of the shared store: fetched from it, put there, renewed, damaged there, or evicted "
        "here before they were there.",
        labels=["what"],
    )
    for what, value in (
        ("fetched", fleet.shared.received_blobs),
        ("uploaded", fleet.uploads.uploaded_blobs),
        ("renewed", fleet.renewing.renewed_blobs),
        ("damaged", fleet.shared.damaged_blobs),
        ("lost", fleet.uploads.lost_blobs),
    ):
        files.add_metric([what], value)
    yield files
