"""Puts other settings in force, all of them in one step.

Nothing here waits, so no request sees a part of it; nothing here can fail, so that it is all or
nothing: whatever may fail was done before (`reloading`). Each setting that a running daemon can
take in has its line here.
"""

from __future__ import annotations

from pypicached.assembly import Assembly
from pypicached.host import raise_descriptor_limit
from pypicached.indexes import IndexParts, Prepared
from pypicached.plain import (
    clients_of,
    index_rules_of,
    list_cache_control_of,
    manner_of,
    rules_of,
    terms_of,
    times_of,
)
from pypicached.settings import Settings


def switch(
    parts: Assembly, old: Settings, new: Settings, prepared: dict[str, Prepared], disk_bytes: int
) -> None:
    """Put `new` in force instead of `old`.

    `disk_bytes` is the size of the cache's disk.
    """
    parts.blobs.budget.limit_bytes = new.cache.max_size_bytes(disk_bytes)
    parts.blobs.budget.min_free_bytes = new.cache.min_free_bytes(disk_bytes)
    parts.eviction.look()
    parts.page_memory.resize(new.cache.memory // 2)
    parts.small_memory.resize(new.cache.memory // 2)
    parts.ageing.apply(new.cache.prune_after)
    if new.cache.offline != old.cache.offline:
        # Else whatever `pypicached offline` said last goes on.
        parts.offline.on = new.cache.offline
    # Also what renderings say of themselves: for how long, and to whom, they may be shown.
    parts.gate.apply(rules_of(new.policy))
    _switch_indexes(parts, old, new, prepared)
    parts.list_pages.cache_control = list_cache_control_of(new)
    parts.file_handler.terms = terms_of(new)
    manner = manner_of(new.store)
    if manner != manner_of(old.store):
        parts.file_handler.redirects = parts.redirects_by(manner)
    parts.admission.apply(clients_of(new.server))
    parts.sweep.clients = raise_descriptor_limit(new.limits.clients)
    parts.sweep.head_seconds = new.limits.request_head
    parts.app.apply(parts.connections, access_log=new.server.access_log)


def _switch_indexes(
    parts: Assembly, old: Settings, new: Settings, prepared: dict[str, Prepared]
) -> None:
    before = parts.standing
    standing: dict[str, IndexParts] = {}
    for index in new.indexes:
        made = prepared[index.name]
        stands = before.get(index.name)
        if stands is None or made.reach is not None:
            stands = parts.builder.build(index, new, made)
        for pages in (stands.pages, stands.lists):
            pages.apply(times_of(index, new))
        standing[index.name] = stands
    parts.standing = standing
    parts.connections.clear()
    parts.connections.update({name: stands.connection for name, stands in standing.items()})
    rules = index_rules_of(new)
    parts.catalog.apply({name: stands.pages for name, stands in standing.items()}, rules)
    parts.lists.apply({name: stands.lists for name, stands in standing.items()}, rules)
    for name, one in before.items():
        if standing.get(name) is not one:
            one.pages.retire()
            one.lists.retire()
            parts.retiring.add(one.connection)
    _forget_others(parts, old, new)


def _forget_others(parts: Assembly, old: Settings, new: Settings) -> None:
    """Drop from memory what was another index's, or may be another's by now."""
    addresses = {index.name: index.url for index in new.indexes}
    moved = {index.name for index in old.indexes if addresses.get(index.name) != index.url}
    if moved:
        parts.forget_indexes(moved)
    owners_change = index_rules_of(old) != index_rules_of(new)
    if owners_change:
        # Through one index by name, what is in memory is served without asking who else has it.
        parts.page_memory.clear()
    if owners_change or rules_of(old.policy) != rules_of(new.policy):
        for connection in parts.connections.values():
            connection.hosts.forget_urls()
    parts.files.reconsider()
    for stands in parts.standing.values():
        stands.pages.leave_others()
