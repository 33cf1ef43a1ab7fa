"""Pages that clients already have, and that the ledger is being told of.

Each is begun before its first client has it, so that whatever anybody asks of the ledger because of
the page comes after it there: the ledger writes in the order in which it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence

from pypicached.cache.flight import Flights


class Storing:
    """The pages of one index that are on their way to the ledger. Single-threaded."""

    def __init__(self) -> None:
        self._flights: Flights[str, None] = Flights()
        # By project: the keys of its files whose names do not tell it.
        self._odd: dict[str, Sequence[str]] = {}

    def begin(
        self,
        project: str,
        odd_paths: Sequence[str],
        store: Callable[[], Coroutine[None, None, None]],
    ) -> None:
        """Have a page stored; the one before it of that project has `landed`."""
        task, _ = self._flights.join(project, store)
        self._odd[project] = odd_paths
        # Also of work that is cancelled before it has begun.
        task.add_done_callback(lambda _: self._odd.pop(project, None))

    async def landed(self, project: str) -> None:
        """Return once the ledger has what was brought of a project last, or has refused it."""
        await self._flights.landed(project)

    def project_of_odd(self, path: str) -> str | None:
        """Return the project of a file whose name does not tell it, if a page here lists it."""
        return next((project for project, paths in self._odd.items() if path in paths), None)

    def cancel(self, chosen: Callable[[str], bool]) -> None:
        """Let the ledger not be told of chosen projects."""
        self._flights.cancel(chosen)

    async def close(self) -> None:
        """Return once all of it is stored."""
        await self._flights.settle()
