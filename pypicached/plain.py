"""Settings as the plain values that parts take: what of an index and of the whole goes together."""

from __future__ import annotations

from pypicached.cache.stored import Times
from pypicached.ownership import IndexRule
from pypicached.policy import Rules
from pypicached.settings import Index, Policy, Server, Settings, Store
from pypicached.store import BucketAccess
from pypicached.upstream import Limits
from pypicached.web.clients import Clients
from pypicached.web.files import Terms
from pypicached.web.redirects import Manner


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


def terms_of(settings: Settings) -> dict[str, Terms]:
    """Return how files are answered, by index; a file's own deadline wins."""
    return {
        index.name: Terms(
            private=index.authentication != "none",
            cold_deadline=index.file_deadline or times_of(index, settings).cold_deadline,
        )
        for index in settings.indexes
    }


def list_cache_control_of(settings: Settings) -> str:
    """Return the Cache-Control of project lists."""
    private = any(index.authentication != "none" for index in settings.indexes)
    # A list of all indexes is fresh for no longer than each of them is (rule 36).
    ttl = min(times_of(index, settings).ttl for index in settings.indexes)
    return f"{'private' if private else 'public'}, max-age={int(ttl)}"


def clients_of(server: Server) -> Clients:
    """Return which clients may connect, and whom proxies speak for."""
    return Clients(trusted=server.trusted_proxies, allowed=server.allow_from)


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


def manner_of(store: Store) -> Manner | None:
    """Return how clients are sent to the bucket; None if files are served from here."""
    s3 = store.s3
    if store.kind != "s3" or s3.serve != "redirect":
        return None
    return Manner(s3.redirect_status, s3.public_url)


def bucket_of(store: Store) -> BucketAccess | None:
    """Return how the bucket is reached, or None if there is none.

    Reads the file with its secret key, if it has one: blocks on the disk, raises SettingsError.
    """
    s3 = store.s3
    if store.kind != "s3":
        return None
    assert s3.bucket is not None
    secret = s3.read_secret()
    return BucketAccess(
        bucket=s3.bucket,
        prefix=s3.prefix,
        endpoint_url=s3.endpoint_url,
        region=s3.region,
        access_key_id=s3.access_key_id,
        secret_access_key=None if secret is None else secret.reveal(),
        addressing=s3.addressing,
    )
