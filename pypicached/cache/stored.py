"""A stored page in memory: its row, how fresh it is, and what was rendered from it."""

from __future__ import annotations

import msgspec

from pypicached.cache.renderings import Rendering, Variant
from pypicached.ledger import Page


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How long a page of an index lives; all in seconds (PRODUCT.md section 4)."""

    ttl: float = 600.0
    negative_ttl: float = 60.0
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 30 * 86400.0
    page_deadline: float = 5.0
    cold_deadline: float = 10.0


class StoredPage:
    """One page as requests see it. Single-threaded; `row` is replaced only by a newer one.

    `told` is what caches on its way said of it when it was brought (`chain.told_by`).
    """

    __slots__ = ("renderings", "row", "told")

    def __init__(
        self, row: Page, renderings: dict[Variant, Rendering] | None = None, told: str = ""
    ) -> None:
        self.row = row
        self.told = told
        self.renderings: dict[Variant, Rendering] = renderings or {}

    @property
    def size_bytes(self) -> int:
        """What this page holds in memory."""
        held = len(self.row.body or b"")
        return held + sum(len(rendering.body) for rendering in self.renderings.values())

    @property
    def forgotten(self) -> bool:
        """Whether all that is known is that its index had the project (`ledger.rows.Page`)."""
        return self.row.state == "removed" and self.row.checked_at == 0

    @property
    def vouched_at(self) -> float:
        """When upstream last vouched for it, as far as is known.

        An invalidated page has no such moment of its own: what counts is when it was fetched.
        """
        return max(self.row.checked_at, self.row.fetched_at)

    def age(self, now: float) -> float:
        """Seconds since upstream last vouched for it; those since 1970 once it is invalidated."""
        return now - self.row.checked_at

    def fresh(self, now: float, times: Times) -> bool:
        """Whether it may be served without asking (rules 33, 42).

        A moment in the future means that the clock was set back: then it is not fresh.
        """
        ttl = times.ttl if self.row.state == "present" else times.negative_ttl
        return 0 <= now - self.row.checked_at < ttl

    def may_be_refreshed_behind(self, now: float, times: Times) -> bool:
        """Whether it may be served at once while upstream is asked behind (rule 40).

        As with `fresh`, not when the clock was set back.
        """
        grace = times.stale_while_revalidate
        return grace > 0 and 0 <= now - self.row.checked_at < times.ttl + grace

    def may_be_stale(self, now: float, times: Times) -> bool:
        """Whether it may be served when upstream fails (rule 38); absence never is."""
        return (
            self.row.state == "present" and now - self.vouched_at < times.ttl + times.stale_if_error
        )


def forgotten(row: Page) -> Page:
    """Return what stays of a row whose page is lost: that its index had the project."""
    return msgspec.structs.replace(
        row, state="removed", body=None, etag=None, last_modified=None, checked_at=0.0
    )
