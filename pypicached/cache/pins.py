"""Pins: the operator's rules about what is never evicted or pruned, and the text file they live in.

The file stands beside the ledger and outlives it: a requirement a line, `#` begins a comment. It
is written whole or not at all, and lines that are no requirement stay as they are: they hold
nothing, and `status` says so. While the file cannot be read everything is held, for nobody knows
what may go.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path

from pypicached.cache.sidecars import SIDECAR
from pypicached.errors import PinsError
from pypicached.ledger import CachedFile, FileName
from pypicached.requirement import Requirement, parse_requirement
from pypicached.simple.names import version_of
from pypicached.store.disk import DiskPool, drop_replacement, replace_file

HEAD = "# What is never evicted or pruned, a requirement a line (`pypicached pin`, `unpin`)."
# Tens of thousands of rules; a file that is larger was never written by us.
MAX_BYTES = 1024 * 1024
# Bad lines that `status` names one by one.
MAX_TOLD = 5


class Pins:
    """The rules in force. Single-threaded; changes, which wait for the disk, take turns.

    `revision` grows whenever something may be held no longer; `problems` are sentences for
    `status`.
    """

    def __init__(self, path: Path, disk: DiskPool) -> None:
        self.path = path
        self.problems: list[str] = []
        self.revision = 0
        self._disk = disk
        self._turn = asyncio.Lock()
        self._lines: list[str] = []
        self._rules: dict[str, list[Requirement]] = {}
        self._unreadable = False

    def __bool__(self) -> bool:
        """Whether anything at all may be held."""
        return self._unreadable or bool(self._rules)

    @property
    def rules(self) -> list[Requirement]:
        """All rules, by project."""
        return [rule for project in sorted(self._rules) for rule in self._rules[project]]

    # ── what is held ─────────────────────────────────────────────────────────────────────────

    def holds(self, file: CachedFile | FileName) -> bool:
        """Tell whether a file, or the file whose sidecar it is, is pinned."""
        if self._unreadable:
            return True
        rules = self._rules.get(file.project, ())
        return any(matches(rule, file) for rule in rules)

    def hold_any(self, files: Iterable[CachedFile | FileName]) -> bool:
        """Tell whether a blob with these names is pinned: one of them is enough."""
        # Where nobody knows what is pinned, a blob that has lost its names may be, too.
        return self._unreadable or any(self.holds(file) for file in files)

    def hold_page(self, project: str) -> bool:
        """Tell whether a project has pins: without its page nobody would find its files."""
        return self._unreadable or project in self._rules

    # ── the file ─────────────────────────────────────────────────────────────────────────────

    async def read(self) -> None:
        """Take over what the file says now; where there is none, what was in force stays."""
        async with self._turn:
            with contextlib.suppress(OSError):  # the next change overwrites it
                await self._disk.run(drop_replacement, self.path)
            await self._read()

    async def read_or_raise(self) -> None:
        """The same; raises PinsError if the file cannot be read, and then everything is held."""
        async with self._turn:
            await self._read_or_refuse()

    async def add(self, wanted: list[Requirement]) -> list[Requirement]:
        """Pin; return those that are new. Raises PinsError, and then nothing has changed."""
        async with self._turn:
            await self._read_or_refuse()
            new: list[Requirement] = []
            for rule in wanted:
                if rule not in self._rules.get(rule.project, ()) and rule not in new:
                    new.append(rule)
            if new:
                await self._write([*(self._lines or [HEAD]), *map(str, new)])
            return new

    async def remove(self, unwanted: list[Requirement]) -> list[Requirement]:
        """Unpin; return those that were pinned. Raises PinsError, and then nothing has changed."""
        async with self._turn:
            await self._read_or_refuse()
            known = [rule for rule in unwanted if rule in self._rules.get(rule.project, ())]
            if known:
                await self._write([line for line in self._lines if _rule_of(line) not in known])
            return known

    async def _read(self) -> None:
        try:
            raw = await self._disk.run(_read_bounded, self.path)
        except FileNotFoundError:
            # Removed under a running daemon: the next change writes all of it anew.
            self._take(self._lines)
        except OSError as error:
            self._unreadable = True
            self.problems = [
                f"the pins in {self.path} cannot be read ({error.strerror}): nothing is evicted or "
                "pruned; mend the file, then run `pypicached pin`"
            ]
        else:
            self._take(raw.decode("utf-8", "surrogateescape").rstrip("\n").split("\n"))

    async def _read_or_refuse(self) -> None:
        await self._read()
        if self._unreadable:
            raise PinsError(self.problems[0])

    async def _write(self, lines: list[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        try:
            await self._disk.run(replace_file, self.path, text.encode("utf-8", "surrogateescape"))
        except OSError as error:
            reason = error.strerror or "the disk failed"
            raise PinsError(f"cannot write the pins to {self.path}: {reason}") from error
        self._take(lines)

    def _take(self, lines: list[str]) -> None:
        """Put the rules of these lines in force."""
        rules: dict[str, list[Requirement]] = {}
        bad: list[str] = []
        for number, line in enumerate(lines, start=1):
            try:
                rule = parse_line(line)
            except ValueError as error:
                bad.append(f"line {number} of {self.path} pins nothing: {error}")
            else:
                if rule is not None:
                    rules.setdefault(rule.project, []).append(rule)
        if len(bad) > MAX_TOLD:
            bad[MAX_TOLD:] = [f"{len(bad) - MAX_TOLD} more lines of {self.path} pin nothing"]
        if self._unreadable or any(rule not in rules.get(rule.project, ()) for rule in self.rules):
            self.revision += 1
        self._lines, self._rules, self.problems, self._unreadable = lines, rules, bad, False


def matches(rule: Requirement, file: CachedFile | FileName) -> bool:
    """Tell whether a rule means a cached file, by what its name says. Pure."""
    name = file.filename
    if file.kind == "metadata":
        name = name.removesuffix(SIDECAR)
    return rule.matches(file.project, version_of(name, file.project))


def parse_line(line: str) -> Requirement | None:
    """Return the rule of one line, None for a comment or an empty one; ValueError. Pure."""
    # As in requirement files of pip: a comment begins the line or follows a blank.
    text = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
    return parse_requirement(text) if text else None


def _rule_of(line: str) -> Requirement | None:
    try:
        return parse_line(line)
    except ValueError:
        return None


def _read_bounded(path: Path) -> bytes:
    """Return all of a file; OSError, also if it is larger than ours can be."""
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return raw
