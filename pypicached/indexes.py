"""What is built for each index: a connection, its pages, its project list.

They stand for as long as the index is reached in the same way. Where that changes, other ones take
their place, so that nothing that was known or kept of the old way serves the new one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from pypicached.cache.changes import Changes
from pypicached.cache.decoded import DecodedPages
from pypicached.cache.gate import Gate
from pypicached.cache.memory import Memory
from pypicached.cache.observe import Observations
from pypicached.cache.pages import Pages
from pypicached.cache.project_list import ListRefresh
from pypicached.cache.refresh import Refresh
from pypicached.cache.renderer import Renderer
from pypicached.cache.serials import Serials
from pypicached.cache.stored import StoredPage, Times
from pypicached.cache.worker import Worker
from pypicached.credentials import Credentials
from pypicached.ledger import Kind, Ledger
from pypicached.plain import limits_of, times_of
from pypicached.reach import build_reach
from pypicached.settings import Index, Settings
from pypicached.store import LocalStore
from pypicached.upstream import Connection, Limits, Offline, Reach

# What these files hold counts, not only their names.
_FILES = ("password_file", "token_file", "ca_file", "client_cert", "client_key")


class Access(msgspec.Struct, frozen=True):
    """All that decides how an index is reached, to be compared as a whole."""

    # Without what is made of its answers.
    index: Index
    limits: Limits
    authorization: str | None
    # Setting → digest of the file's content.
    files: Mapping[str, str | None]

    def altered_files(self, new: Access) -> list[str]:
        """Return the settings whose file is another one by now, under the same name."""
        return [
            key
            for key in _FILES
            if getattr(self.index, key) == getattr(new.index, key)
            and self.files[key] != new.files[key]
        ]


class Prepared(NamedTuple):
    """An index of settings, ready to be built; no `reach`: it is reached as it was."""

    access: Access
    credentials: Credentials
    reach: Reach | None


class IndexParts(NamedTuple):
    """What stands for one index."""

    access: Access
    private: bool
    connection: Connection
    pages: Pages
    lists: Pages


def prepare(settings: Settings, standing: Mapping[str, IndexParts]) -> dict[str, Prepared]:
    """Return what it takes to build each index, by name and in order. Blocks on the disk.

    Raises SettingsError or StartError if a file that an index names cannot be used.
    """
    found = {}
    for index in settings.indexes:
        credentials = Credentials(index)
        access = Access(
            msgspec.structs.replace(
                index,
                ttl=None,
                page_deadline=None,
                cold_deadline=None,
                file_deadline=None,
                projects=(),
                exclude=(),
            ),
            limits_of(index, settings),
            credentials(),
            {key: _digest(getattr(index, key)) for key in _FILES},
        )
        stands = index.name in standing and standing[index.name].access == access
        reach = None if stands else build_reach(index, settings.proxies)
        found[index.name] = Prepared(access, credentials, reach)
    return found


def _digest(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None  # whoever needs it says so


class IndexBuilder:
    """Builds what stands for an index, from what all indexes share."""

    def __init__(  # noqa: PLR0913 - what all indexes share, and nobody else needs together
        self,
        *,
        ledger: Ledger,
        store: LocalStore,
        gate: Gate,
        offline: Offline,
        memory: Memory[tuple[str, str], StoredPage],
        decoded: DecodedPages,
        changes: Changes,
        observations: Observations,
        worker: Worker,
        may_answer: Callable[[str, str], bool],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._gate = gate
        self._offline = offline
        self._memory = memory
        self._decoded = decoded
        self._changes = changes
        self._observations = observations
        self._worker = worker
        self._may_answer = may_answer
        self._now = now

    def build(self, index: Index, settings: Settings, prepared: Prepared) -> IndexParts:
        """Build all of one index; nothing of it has been asked yet."""
        private, times = index.authentication != "none", times_of(index, settings)
        connection = self._connection(index, settings, prepared)
        return IndexParts(
            prepared.access,
            private,
            connection,
            self._pages(connection, Refresh, times, private=private),
            self._pages(connection, ListRefresh, times, private=private),
        )

    def _connection(self, index: Index, settings: Settings, prepared: Prepared) -> Connection:
        usage, credentials = self._ledger.usage, prepared.credentials

        def on_request(kind: Kind, outcome: str) -> None:
            usage.count_upstream(kind, index.name, outcome)

        return Connection(
            index.name,
            index.url,
            limits=limits_of(index, settings),
            authorization=credentials,
            reread=credentials.reread,
            on_request=on_request,
            reach=prepared.reach,
            offline=self._offline,
            now=self._now,
        )

    def _pages(
        self, connection: Connection, refresh: type[Refresh], times: Times, *, private: bool
    ) -> Pages:
        usage, name = self._ledger.usage, connection.name
        return Pages(
            name,
            refresh(
                connection,
                self._ledger,
                disk=self._store.disk,
                worker=self._worker,
                observations=self._observations,
                quarantine=self._gate.quarantine,
                changes=self._changes,
                serials=Serials(times.ttl, self._now),
                on_bytes=lambda octets: usage.count_received("page", name, octets),
                now=self._now,
            ),
            self._ledger,
            memory=self._memory,
            renderer=Renderer(
                name,
                self._ledger,
                self._decoded,
                self._store.disk,
                self._gate,
                private=private,
                ttl=times.ttl,
                now=self._now,
            ),
            times=times,
            offline=self._offline,
            # The list is everybody's; of a project no index hears that may not answer for it.
            may_ask=lambda project: not project or self._may_answer(name, project),
            now=self._now,
        )
