"""An index in memory for the resolver, and its answers at once; what pip sees is published apart.

The resolver's one edge is what it asks and is told: `Shelf` answers there, in this process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path

from pypicached.requirements.model import Origin, Wish
from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.warm.frames import Answer, Ask, AskPage
from pypicached.warm.library import Library
from pypicached.warm.plan import Job, Plan
from pypicached.warm.targets import Target, parse_target
from pypicached.warm.work import work_out
from tests.fake.wheels import DistFile, normalized

LINUX = parse_target("3.12", "linux-x86_64")


def entry(file: DistFile) -> ProjectFile:
    """Return a file as its page has it."""
    return ProjectFile(
        filename=file.filename,
        url=f"https://files.example/{file.filename}",
        hashes={"sha256": file.sha256},
        size=len(file.body),
        requires_python=file.requires_python,
        yanked=file.yanked,
    )


class Shelf:
    """Projects with their files; `directory` is where sdists are put to be read.

    `instead` holds answers that are given instead, by project or file name.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.projects: dict[str, list[DistFile]] = {}
        self.instead: dict[str, Answer] = {}
        self.refused: dict[str, dict[str, str]] = {}
        # What was asked for, in order: project names and file names.
        self.asked: list[str] = []
        self._directory = directory
        self._answers: deque[Answer] = deque()

    def add(self, project: str, *files: DistFile) -> None:
        """Publish files."""
        self.projects.setdefault(normalized(project), []).extend(files)

    def page_fails(self, project: str, reason: str = "index pypi: timed out") -> None:
        """Let a page fail."""
        self.instead[project] = Answer("page", project, "failed", reason)

    def library(self) -> Library:
        """Return a library that asks this shelf."""
        return Library(self._take, self._answers.popleft)

    def plans(
        self, *wishes: str | Wish, targets: Iterable[Target] = (LINUX,), **job: object
    ) -> tuple[Plan, ...]:
        """Return what is needed for requirements, one per line of "requirements.txt"."""
        listed = tuple(
            w if isinstance(w, Wish) else wish(w, line) for line, w in enumerate(wishes, 1)
        )
        constraints = job.pop("constraints", ())
        assert isinstance(constraints, tuple | list)
        held = tuple(
            wish(text, line, "constraints.txt") for line, text in enumerate(constraints, 1)
        )
        made = Job(targets=tuple(targets), wishes=listed, constraints=held, **job)  # type: ignore[arg-type]
        return work_out(made, self.library())

    def plan(self, *wishes: str | Wish, target: Target = LINUX, **job: object) -> Plan:
        """Return what one target needs."""
        return self.plans(*wishes, targets=(target,), **job)[0]

    def _take(self, ask: Ask) -> None:
        if isinstance(ask, AskPage):
            self.asked.append(ask.project)
            self._answers.append(self._page(ask.project))
        else:
            self.asked.append(ask.file.filename)
            self._answers.append(self._file(ask.project, ask.file))

    def _page(self, project: str) -> Answer:
        if project in self.instead:
            return self.instead[project]
        if project not in self.projects:
            return Answer("page", project, "not-found", f"no index here has {project}")
        page = ProjectPage(name=project, files=[entry(file) for file in self.projects[project]])
        return Answer("page", project, "here", page=page, refused=self.refused.get(project, {}))

    def _file(self, project: str, file: ProjectFile) -> Answer:
        if file.filename in self.instead:
            return self.instead[file.filename]
        made = next(f for f in self.projects[project] if f.filename == file.filename)
        if made.metadata is not None:
            return Answer("metadata", file.url, "here", metadata=made.metadata)
        if self._directory is None:  # a source that brings no sdists now
            return Answer("metadata", file.url, "here", path="")
        path = self._directory / file.filename
        path.write_bytes(made.body)
        return Answer("metadata", file.url, "here", path=str(path))


def wish(text: str, line: int = 1, file: str = "requirements.txt", *hashes: str) -> Wish:
    """Return a requirement as read from a file."""
    return Wish(text, Origin(file, line), hashes)


def versions(plan: Plan) -> dict[str, str]:
    """Return project → version of what is there to run."""
    return {item.project: item.version for item in plan.items if item.purpose == "run"}
