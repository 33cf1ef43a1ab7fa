"""What is built for each index: a connection, its pages, its project list.

They stand for as long as the index is reached in the same way. Where that changes, other ones take
their place, so that nothing that was known or kept of the old way serves the new one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
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
from pypicached.chain import Chain
from pypicached.credentials import Credentials
from pypicached.errors import SettingsError
from pypicached.ledger import Kind, Ledger
from pypicached.plain import limits_of, times_of
from pypicached.reach import build_reach, read_files
from pypicached.settings import Index, Settings
from pypicached.store import LocalStore
from pypicached.upstream import Connection, Limits, Offline, Reach


class Access(msgspec.Struct, frozen=True):
    """All that decides how an index is reached, to be compared as a whole."""

    # Without what is made of its answers.
    index: Index
    limits: Limits
    authorization: str | None
    # Setting → digest of the file's content: what is in it counts, not only its name.
    files: Mapping[str, str]

    def altered_files(self, new: Access) -> list[str]:
        """Return the settings whose file is another one by now, under the same name."""
        return [
            key
            for key, digest in self.files.items()
            if getattr(self.index, key) == getattr(new.index, key) and digest != new.files[key]
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

    Raises SettingsError with all that is wrong with the files that indexes name.
    """
    found, problems = {}, []
    for index in settings.indexes:
        try:
            found[index.name] = _prepare(index, settings, standing.get(index.name))
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    return found


def _prepare(index: Index, settings: Settings, stands: IndexParts | None) -> Prepared:
    contents = read_files(index)
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
        {key: hashlib.sha256(content).hexdigest() for key, content in contents.items()},
    )
    if stands is not None and stands.access == access:
        return Prepared(access, credentials, None)
    return Prepared(access, credentials, build_reach(index, settings.proxies, contents))


class IndexBuilder:
    """Builds what stands for an index, from what all indexes share."""

    def __init__(  # noqa: PLR0913 - what all indexes share, and nobody else needs together
        self,
        *,
        ledger: Ledger,
        store: LocalStore,
        gate: Gate,
        offline: Offline,
        chain: Chain,
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
        self._chain = chain
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
            chain=self._chain,
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
