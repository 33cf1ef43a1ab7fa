"""What `status` says of the indexes and the hosts that they lead to."""

from __future__ import annotations

from pypicached.messages import HostStatus, IndexStatus, iso
from pypicached.upstream import Connection, Host


def index_status(connection: Connection, stale_share: float | None) -> IndexStatus:
    """Return how one index is, worst news first; its URL carries no credential."""
    condition = connection.health.condition
    return IndexStatus(
        name=connection.name,
        url=str(connection.url),
        state=condition.state,
        since=None if condition.since is None else iso(condition.since),
        last_error=condition.error,
        latency_ms=_milliseconds(connection.hosts.own.latency.recent),
        stale_share_24h=None if stale_share is None else round(stale_share, 4),
        hosts=[_host_status(host) for host in connection.hosts],
    )


def _host_status(host: Host) -> HostStatus:
    failing = host.breaker.open
    return HostStatus(
        host=host.name,
        state="failing" if failing else "ok",
        since=iso(host.failing_since) if failing and host.failing_since is not None else None,
        last_error=host.last_error if failing else None,
        latency_ms=_milliseconds(host.latency.recent),
        asked_again_in_seconds=round(host.breaker.pause_left, 1) if failing else None,
    )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
