"""What `status` says of the store that a fleet shares."""

from __future__ import annotations

import time
from collections.abc import Callable

from pypicached import messages
from pypicached.cache.fleet import Fleet
from pypicached.errors import LedgerError
from pypicached.ledger import Ledger
from pypicached.messages import iso

# A queue in which something waits for longer is one that does not get anywhere.
LATE_SECONDS = 86400.0


async def store_status(
    fleet: Fleet, ledger: Ledger, now: Callable[[], float] = time.time
) -> tuple[messages.StoreStatus, list[str]]:
    """Return how the shared store is, and what is wrong with it. Raises LedgerError."""
    blobs, octets, oldest = await ledger.shared.waiting()
    health, shared, uploads = fleet.health, fleet.shared, fleet.uploads
    status = messages.StoreStatus(
        bucket=fleet.bucket.identity,
        state="failing" if health.failing else "ok",
        since=iso(health.since) if health.failing and health.since is not None else None,
        last_error=health.reason or None,
        waiting_files=blobs,
        waiting_bytes=octets,
        oldest_waits_since=None if oldest is None else iso(oldest),
        fetched_files=shared.received_blobs,
        fetched_bytes=shared.received_bytes,
        uploaded_files=uploads.uploaded_blobs,
        uploaded_bytes=uploads.uploaded_bytes,
        damaged_files=shared.damaged_blobs,
        lost_files=uploads.lost_blobs,
    )
    problems = list(_problems(status, oldest, now()))
    writing = fleet.writing
    if writing.failing and writing.since is not None and not health.failing:
        problems.append(
            f"the shared store takes no files since {iso(writing.since)}, it {writing.reason}: "
            f"{blobs} wait for it, and what it has is used; see [store.s3]"
        )
    return status, problems


def _problems(status: messages.StoreStatus, oldest: float | None, now: float) -> list[str]:
    found = []
    if status.state == "failing":
        found.append(
            f"the shared store {status.last_error} since {status.since}: files come from upstream, "
            f"and {status.waiting_files} wait for it; see [store.s3]"
        )
    elif oldest is not None and now - oldest > LATE_SECONDS:
        found.append(
            f"{status.waiting_files} files wait for the shared store, the first since "
            f"{iso(oldest)}: the log says what it refuses"
        )
    if status.damaged_files:
        found.append(
            f"{status.damaged_files} files of the shared store were damaged since the start; they "
            "were fetched from upstream instead, and are replaced"
        )
    if status.lost_files:
        found.append(
            f"{status.lost_files} files were evicted before they were in the shared store since "
            "the start: raise [cache] max_size, or see why it takes so long"
        )
    return found


async def store_status_if_known(
    fleet: Fleet | None, ledger: Ledger, now: Callable[[], float]
) -> tuple[messages.StoreStatus | None, list[str]]:
    """As `store_status`; None where there is no such store, or the ledger does not tell."""
    if fleet is None:
        return None, []
    try:
        return await store_status(fleet, ledger, now)
    except LedgerError as error:
        return None, [str(error)]
