"""Settings as the plain values that parts take: what of an index and of the whole goes together."""

from __future__ import annotations

from pypicached.cache.stored import Times
from pypicached.ownership import IndexRule
from pypicached.policy import Rules
from pypicached.settings import Index, Policy, Settings
from pypicached.upstream import Limits


def times_of(index: Index, settings: Settings) -> Times:
    """Return how long pages of an index live; its own settings win."""
    cache = settings.cache
    return Times(
        ttl=cache.page_ttl if index.ttl is None else index.ttl,
        negative_ttl=cache.negative_ttl,
        stale_while_revalidate=cache.stale_while_revalidate,
        stale_if_error=cache.stale_if_error,
        page_deadline=index.page_deadline or cache.page_deadline,
        cold_deadline=index.cold_deadline or cache.cold_deadline,
    )


def file_deadline_of(index: Index, settings: Settings) -> float:
    """Return within how many seconds the first byte of an index's file has to come."""
    return index.file_deadline or times_of(index, settings).cold_deadline


def limits_of(index: Index, settings: Settings) -> Limits:
    """Return the bounds towards an index."""
    return Limits(
        connect_seconds=index.connect_timeout,
        idle_seconds=index.timeout,
        page_bytes=settings.limits.page_size,
        metadata_bytes=settings.limits.metadata_size,
    )


def index_rules_of(settings: Settings) -> list[IndexRule]:
    """Return which names indexes own, in file order."""
    return [IndexRule(i.name, tuple(i.projects), tuple(i.exclude)) for i in settings.indexes]


def rules_of(policy: Policy) -> Rules:
    """Return what is served."""
    return Rules(
        min_age=policy.min_age,
        deny=policy.deny,
        allow=policy.allow,
        exempt=policy.exempt,
        refuse_removed=policy.removed_files == "refuse",
    )
