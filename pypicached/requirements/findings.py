"""What is found while files are read: items, problems, and how much of both there may be.

One `Findings` lives for one reading. It collects, so that all problems are told at once, and gives
up with `BadInputError` where there is no end of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pypicached.errors import BadInputError, clean
from pypicached.requirements.model import (
    Inputs,
    LockedPackage,
    LockScope,
    Origin,
    Selection,
    Wish,
)

# All files together, in characters; the largest uv.lock that was met has 6 MB.
MAX_TEXT = 10_000_000
# Fifty times what a large monorepository locks.
MAX_ITEMS = 50_000
# More than anybody reads.
MAX_PROBLEMS = 100

Read = Callable[[Path], str]


class Findings:
    """Collects what files ask for; not for use by two readings at once."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.wishes: list[Wish] = []
        self.constraints: list[Wish] = []
        self.build: list[Wish] = []
        self.locked: list[LockedPackage] = []
        self.scopes: list[LockScope] = []
        self.only_binary: list[str] = []
        self.no_binary: list[str] = []
        self.prefer_binary = False
        self.pre = False
        # Extras and groups that some file has, so that a misspelt one can be told.
        self.known_extras: set[str] = set()
        self.known_groups: set[str] = set()
        self._skipped: list[str] = []
        self._left_out: list[str] = []
        self._problems: list[str] = []
        self._text = 0

    def problem(self, origin: Origin, reason: str) -> None:
        """Note why the input cannot be used; BadInputError once there are too many."""
        self._problems.append(f"{origin}: {reason}")
        if len(self._problems) >= MAX_PROBLEMS:
            raise BadInputError([*self._problems, "more than that was not looked for"])

    def skip(self, origin: Origin, sentence: str) -> None:
        """Tell of something that is read and has no effect here."""
        self._note(self._skipped, origin, sentence)

    def leave_out(self, origin: Origin, sentence: str) -> None:
        """Tell of something to install that is on no index."""
        self._note(self._left_out, origin, sentence)

    def _note(self, where: list[str], origin: Origin, sentence: str) -> None:
        where.append(f"{origin}: {sentence}")
        self.check_number(origin)

    def check_number(self, origin: Origin) -> None:
        """Raise BadInputError where there are more items than anybody asks for."""
        items = len(self.wishes) + len(self.constraints) + len(self.build) + len(self.locked)
        if items + len(self._skipped) + len(self._left_out) > MAX_ITEMS:
            self._give_up(origin, f"more than {MAX_ITEMS:,} items are not read")

    def read(self, read: Read, path: Path, origin: Origin) -> str | None:
        """Return the text of a file without byte order mark; None after noting why there is none.

        `origin` is what names the file: itself, or the line that includes it.
        """
        named = "" if path == Path(origin.file) else f'"{clean(str(path))}" '
        try:
            text = read(path)
        except UnicodeError:
            self.problem(origin, f"{named}cannot be read: it is not in its encoding")
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            why = getattr(error, "strerror", None) or "no file can have that name"
            self.problem(origin, f"{named}cannot be read: {why}")
        else:
            self._text += len(text)
            if self._text > MAX_TEXT:
                self._give_up(origin, f"more than {MAX_TEXT:,} characters are not read")
            return text.removeprefix("\ufeff")
        return None

    def _give_up(self, origin: Origin, reason: str) -> None:
        raise BadInputError([*self._problems, f"{origin}: {reason}"])

    def inputs(self) -> Inputs:
        """Return everything that was found; BadInputError with every problem if there was any."""
        if self._problems:
            raise BadInputError(self._problems)
        return Inputs(
            wishes=tuple(self.wishes),
            constraints=tuple(self.constraints),
            build=tuple(self.build),
            locked=tuple(self.locked),
            scopes=tuple(self.scopes),
            only_binary=tuple(self.only_binary),
            no_binary=tuple(self.no_binary),
            prefer_binary=self.prefer_binary,
            pre=self.pre,
            skipped=tuple(self._skipped),
            left_out=tuple(self._left_out),
        )
