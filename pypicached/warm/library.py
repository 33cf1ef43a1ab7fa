"""What the resolver knows of pages and metadata, and its way to ask for more.

It runs in the resolver's process, on one thread. Asking never waits: whoever needs something that
is not here yet takes answers, any answers, until it is; so everything that is known to be needed
can be under way at once. Nothing is asked for twice, and targets share all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from packaging.version import Version

from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.simple.names import version_of
from pypicached.warm.core_metadata import (
    CoreMetadata,
    MetadataError,
    UnknownDependenciesError,
    parse_metadata,
)
from pypicached.warm.frames import Answer, Ask, AskMetadata, AskPage, AskSdist, Outcome
from pypicached.warm.plan import ProblemKind
from pypicached.warm.sdist import Sdist, read_sdist


class UnavailableError(Exception):
    """Something that must be known cannot be had now, so nothing may be concluded from it."""

    def __init__(self, project: str, reason: str) -> None:
        super().__init__(reason)
        self.project = project
        self.reason = reason


class NoPageError(Exception):
    """There is no page, and that is certain."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome: ProblemKind = "refused" if outcome == "refused" else "not-found"
        self.reason = reason


class Library:
    """Pages, sidecars and sdists; `send` must not wait, `receive` returns the next answer."""

    def __init__(self, send: Callable[[Ask], None], receive: Callable[[], Answer]) -> None:
        self._send = send
        self._receive = receive
        # A project, or the URL of a file → what was asked.
        self._asked: dict[str, Ask] = {}
        self._answers: dict[str, Answer] = {}
        self._metadata: dict[str, CoreMetadata | MetadataError] = {}
        self._sdists: dict[str, Sdist | MetadataError] = {}
        # Told of every answer, to ask on.
        self.listeners: list[Callable[[Answer], None]] = []

    # ── without waiting ──────────────────────────────────────────────────────────────────────

    def expect_page(self, project: str) -> None:
        """Ask for a page, unless that was done."""
        self._ask(project, AskPage(project))

    def expect_metadata(self, project: str, file: ProjectFile) -> None:
        """Ask for what `metadata` or `sdist` would return of a file, unless that was done."""
        wheel = file.filename.endswith(".whl")
        self._ask(file.url, AskMetadata(project, file) if wheel else AskSdist(project, file))

    def has(self, key: str) -> bool:
        """Tell whether the page of a project, or the metadata of the file at a URL, is here."""
        return key in self._answers

    def file_at(self, url: str) -> tuple[str, ProjectFile] | None:
        """Return the project and file whose metadata was asked for under a URL."""
        ask = self._asked.get(url)
        return None if ask is None or isinstance(ask, AskPage) else (ask.project, ask.file)

    def refused(self, project: str) -> Mapping[str, str]:
        """Return the files that rules keep off a page that is here: name → reason."""
        return self._answers[project].refused if project in self._answers else {}

    # ── waiting ──────────────────────────────────────────────────────────────────────────────

    def page(self, project: str) -> ProjectPage:
        """Return the page of a project; NoPageError, UnavailableError."""
        self.expect_page(project)
        answer = self._await(project, project)
        if answer.page is None:
            raise NoPageError(answer.outcome, answer.reason)
        return answer.page

    def metadata(self, project: str, file: ProjectFile) -> CoreMetadata:
        """Return the metadata of a wheel, or the static metadata of an sdist.

        Raises MetadataError if it cannot be used, UnknownDependenciesError if only a build would
        tell, UnavailableError.
        """
        if file.url not in self._metadata:
            self._metadata[file.url] = self._read_metadata(project, file)
        found = self._metadata[file.url]
        if isinstance(found, MetadataError):
            raise found
        return found

    def sdist(self, project: str, file: ProjectFile) -> Sdist:
        """Return what an sdist says of itself; MetadataError, UnavailableError."""
        if file.url not in self._sdists:
            self.expect_metadata(project, file)
            answer = self._await(file.url, project)
            self._sdists[file.url] = _opened(answer, file)
        found = self._sdists[file.url]
        if isinstance(found, MetadataError):
            raise found
        return found

    def _read_metadata(self, project: str, file: ProjectFile) -> CoreMetadata | MetadataError:
        try:
            if not file.filename.endswith(".whl"):
                found = self.sdist(project, file).metadata()
            else:
                self.expect_metadata(project, file)
                answer = self._await(file.url, project)
                if answer.outcome != "here":
                    return MetadataError(answer.reason)
                found = parse_metadata(answer.metadata)
            _check_consistent(found, project, file)
        except MetadataError as error:
            return error
        return found

    def _ask(self, key: str, ask: Ask) -> None:
        if key not in self._asked:
            self._asked[key] = ask
            self._send(ask)

    def _await(self, key: str, project: str) -> Answer:
        while key not in self._answers:
            answer = self._receive()
            self._answers[answer.key] = answer
            for listener in self.listeners:
                listener(answer)
        answer = self._answers[key]
        if answer.outcome == "failed":
            raise UnavailableError(project, answer.reason)
        return answer


def _opened(answer: Answer, file: ProjectFile) -> Sdist | MetadataError:
    if answer.outcome != "here":
        return MetadataError(answer.reason)
    if not answer.path:
        return UnknownDependenciesError("it is not here yet")
    try:
        return read_sdist(Path(answer.path), file.filename)
    except MetadataError as error:
        return error


def _check_consistent(found: CoreMetadata, project: str, file: ProjectFile) -> None:
    """Raise MetadataError for the metadata of another project or version, as pip does."""
    if found.name != project:
        raise MetadataError("its metadata is of another project")
    named = version_of(file.filename, project)
    if named is None or Version(named) != found.version:
        raise MetadataError(f"its metadata is of version {found.version}")
