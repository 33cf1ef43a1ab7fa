"""`pypicached status` in a pipe: one fact per line, the kind of fact first. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pypicached.cli.terminal import duration, size
from pypicached.errors import clean

if TYPE_CHECKING:
    from pypicached.messages import DiskStatus, IndexStatus, Status, StoreStatus


def build_lines(status: Status) -> list[str]:
    """Return the lines, without colour, each printable whatever an upstream sent."""
    return [clean(line, limit=2000) for line in _lines(status)]


def _lines(status: Status) -> Iterator[str]:
    yield f"version: {status.version}"
    yield f"uptime: {duration(status.uptime_seconds)} (pid {status.pid})"
    if status.offline:
        yield "offline: upstreams are not asked"
    for listener in status.listeners:
        yield f"listening: {listener}"
    for index in status.indexes:
        yield f"index {index.name}: {_state(index)} {index.url}"
        if measured := measured_text(index):
            yield f"index {index.name}: {measured}"
    yield f"disk: {_disk(status.disk)}"
    yield f"ledger: {size(status.disk.ledger_bytes)}"
    if status.store is not None:
        yield f"store: {status.store.state} {store_text(status.store)}"
    yield f"hit rate of the last 24 h: {rate_text(status.hit_rate_24h)}"
    for download in status.downloads:
        written = amount_text(download.written_bytes, download.size_bytes)
        yield f"downloading: {download.filename} {written}, readers: {download.readers}"
    for failure in status.failures:
        yield f"failure: {failure.at} {failure.what}: {failure.reason}"
    for problem in status.problems:
        yield f"problem: {problem}"


def store_text(store: StoreStatus) -> str:
    """Return which shared store it is, what it gave, and what waits for it."""
    parts = [
        store.bucket,
        f"{store.fetched_files} files fetched, {store.uploaded_files} put there since the start",
    ]
    if store.waiting_files:
        parts.append(f"{store.waiting_files} wait for it ({size(store.waiting_bytes)})")
    return ", ".join(parts)


def _state(index: IndexStatus) -> str:
    since = f" since {index.since}" if index.since else ""
    error = f" ({index.last_error})" if index.last_error else ""
    return f"{index.state}{since}{error}"


def measured_text(index: IndexStatus) -> str:
    """Return "answers in 45 ms, 2.5 % of pages stale in 24 h", or what of it is known."""
    parts = []
    if index.latency_ms is not None:
        parts.append(f"answers in {index.latency_ms:.0f} ms")
    if index.stale_share_24h:
        parts.append(f"{index.stale_share_24h * 100:.1f} % of pages stale in 24 h")
    return ", ".join(parts)


def _disk(disk: DiskStatus) -> str:
    used = amount_text(disk.used_bytes, disk.limit_bytes)
    kept = f"{disk.files} files, {disk.pages} pages"
    return f"{used} used, {size(disk.free_bytes)} free, {kept}, {disk.directory}".rstrip(", ")


def amount_text(done_bytes: int, total_bytes: int | None) -> str:
    """Return "1.1 GiB of 2 GiB (55 %)", or the first part where the whole is not known."""
    if total_bytes is None:
        return size(done_bytes)
    percent = f" ({done_bytes * 100 // total_bytes} %)" if total_bytes else ""
    return f"{size(done_bytes)} of {size(total_bytes)}{percent}"


def rate_text(rate: float | None) -> str:
    """Return "93.1 %" for 0.931; nothing asked is no rate."""
    return "nothing was asked" if rate is None else f"{rate * 100:.1f} %"
