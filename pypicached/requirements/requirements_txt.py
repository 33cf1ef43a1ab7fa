"""Requirements files as pip reads them, with all that they include ("Requirements File Format").

What an option tells pip about indexes, trust and building is named and skipped: the daemon asks the
indexes of its own settings.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from packaging.utils import InvalidName, canonicalize_name

from pypicached.errors import clean
from pypicached.requirements.findings import Findings, Read
from pypicached.requirements.lines import Line, logical_lines
from pypicached.requirements.model import ALL, Origin
from pypicached.requirements.options import Option, split_line
from pypicached.requirements.wishes import NotOnIndexError, not_on_index, parse_wish

# A chain of files; nobody has ten.
_MAX_DEPTH = 30
_MAX_FILES = 1000
# What pip takes for a strong hash → hex digits.
_HASHES = {"sha256": 64, "sha384": 96, "sha512": 128}
_UNSET = re.compile(r"\$\{([A-Z0-9_]+)\}")
_URL = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
_INDEXES = "the daemon asks the indexes of its own settings"
_BUILDING = "nothing is built here"
_WHY_SKIPPED = {
    "--index-url": _INDEXES,
    "--extra-index-url": _INDEXES,
    "--find-links": _INDEXES,
    "--no-index": _INDEXES,
    "--trusted-host": _INDEXES,
    "--require-hashes": "hashes are checked where they are given",
    "--no-require-hashes": "hashes are checked where they are given",
    "--use-feature": "it is about how pip works",
    "--process-dependency-links": "no index has such links",
    "--config-settings": _BUILDING,
    "--global-option": _BUILDING,
    "--install-option": _BUILDING,
    "--build-option": _BUILDING,
}


class RequirementsReader:
    """Reads files into `findings`; they share a bound on how many there are."""

    def __init__(self, findings: Findings, read: Read, environ: Mapping[str, str]) -> None:
        self._findings = findings
        self._read = read
        self._environ = environ
        self._files = 0

    def read(self, file: str, *, constraints: bool = False) -> None:
        """Read a file that the user named, and what it includes."""
        self._read_file(file, Origin(file), constraints=constraints, around=())

    def _read_file(
        self, file: str, named_at: Origin, *, constraints: bool, around: tuple[str, ...]
    ) -> None:
        identity = os.path.normpath(file)
        self._files += 1
        if identity in around:
            reason = f'"{clean(file)}" includes itself'
        elif len(around) >= _MAX_DEPTH or self._files > _MAX_FILES:
            reason = f"more than {_MAX_DEPTH} files in one another, or {_MAX_FILES} at all"
        else:
            text = self._findings.read(self._read, Path(file), named_at)
            for line in logical_lines(text or "", self._environ):
                self._read_line(line, Origin(file, line.number), constraints, (*around, identity))
            return
        self._findings.problem(named_at, reason)

    def _read_line(
        self, line: Line, origin: Origin, constraints: bool, around: tuple[str, ...]
    ) -> None:
        try:
            requirement, options, stray = split_line(line.text)
            for _ in stray[:1]:
                self._findings.skip(origin, "words behind an option are skipped, as pip does")
            if requirement:
                self._requirement(requirement, options, line, origin, constraints=constraints)
            elif editable := _values(options, "--editable"):
                self._editable(editable, origin, constraints=constraints)
            elif not self._include(options, origin, around):
                self._apply(options, origin)
        except ValueError as error:
            self._findings.problem(origin, f"{error}{self._unset(line)}")

    def _requirement(
        self,
        text: str,
        options: list[Option],
        line: Line,
        origin: Origin,
        *,
        constraints: bool,
    ) -> None:
        for option in options:
            if option.name != "--hash":
                self._skip(option.name, origin)
        # The words before the first option, as they stand in the file.
        shown = split_shown(line.written)
        try:
            wish = parse_wish(text, origin, _hashes(options), shown)
        except NotOnIndexError as error:
            self._findings.leave_out(origin, str(error))
            return
        if constraints:
            if "[" in wish.text.partition(";")[0]:
                raise ValueError(f'a constraint cannot have extras: "{clean(shown, 80)}"')
            self._findings.constraints.append(wish)
        else:
            self._findings.wishes.append(wish)
        self._findings.check_number(origin)

    def _editable(self, values: list[str], origin: Origin, *, constraints: bool) -> None:
        if constraints:
            raise ValueError("a constraint cannot be editable")
        for _ in values:
            self._findings.leave_out(origin, str(not_on_index("what is editable (-e)")))

    def _include(self, options: list[Option], origin: Origin, around: tuple[str, ...]) -> bool:
        """Read the file that a line includes; False if it includes none."""
        files = [o for o in options if o.name in {"--requirement", "--constraint"}]
        if not files:
            return False
        if len(files) > 1:
            raise ValueError("one -r or -c to a line: pip reads the first one alone")
        for option in options:
            if option not in files:
                self._skip(option.name, origin)
        name, value = files[0]
        if _URL.match(value):
            raise ValueError(f"{name} of an address: fetch it, and name the file")
        # What constrains includes constraints only where it says so, as in pip.
        file = str(Path(origin.file).parent / value)
        self._read_file(file, origin, constraints=name == "--constraint", around=around)
        return True

    def _apply(self, options: list[Option], origin: Origin) -> None:
        """Note what options on a line of their own change."""
        found = self._findings
        for name, value in options:
            match name:
                case "--only-binary":
                    combine(value, found.only_binary, found.no_binary)
                case "--no-binary":
                    combine(value, found.no_binary, found.only_binary)
                case "--prefer-binary":
                    found.prefer_binary = True
                case "--pre":
                    found.pre = True
                case "--all-releases" if value.strip() == ALL:
                    found.pre = True
                case _:
                    self._skip(name, origin)

    def _skip(self, name: str, origin: Origin) -> None:
        if name == "--hash":
            why = "it stands beside no requirement"
        elif name in {"--all-releases", "--only-final"}:
            why = "pre-releases are taken for all projects or for none (--pre)"
        else:
            why = _WHY_SKIPPED.get(name, "it has no effect on such a line")
        self._findings.skip(origin, f"{name} is skipped: {why}")

    def _unset(self, line: Line) -> str:
        """Return words for a variable that was left as it is, as it may be the reason."""
        unset = _UNSET.search(line.text)
        return f" (the variable {clean(unset[1], 60)} is not set)" if unset else ""


def split_shown(written: str) -> str:
    """Return the requirement of a line as it stands there, without its options."""
    return re.split(r" +-", written, maxsplit=1)[0]


def combine(value: str, target: list[str], other: list[str]) -> None:
    """Change two lists as `--only-binary` or `--no-binary` with `value` does: the last one wins.

    ValueError if a name is none.
    """
    names = [name.strip() for name in value.split(",") if name.strip()]
    for name in names:
        if name == ALL:
            target[:], other[:] = [ALL], []
        elif name == ":none:":
            target.clear()
        else:
            try:
                project = str(canonicalize_name(name, validate=True))
            except InvalidName:
                raise ValueError(f'"{clean(name, 80)}" is no name of a project') from None
            if project in other:
                other.remove(project)
            if project not in target and target != [ALL]:
                target.append(project)


def _values(options: list[Option], name: str) -> list[str]:
    return [option.value for option in options if option.name == name]


def _hashes(options: list[Option]) -> tuple[str, ...]:
    """Return the hashes beside a requirement; ValueError if one is none that pip takes."""
    found: dict[str, None] = {}
    for value in _values(options, "--hash"):
        algorithm, _, digest = value.partition(":")
        digits = _HASHES.get(algorithm)
        if digits is None:
            raise ValueError(f"--hash takes {', '.join(_HASHES)}, as in --hash=sha256:…")
        if len(digest) != digits or not re.fullmatch("[0-9A-Fa-f]*", digest):
            raise ValueError(f"a {algorithm} hash has {digits} hexadecimal digits")
        found[f"{algorithm}:{digest.lower()}"] = None
    return tuple(found)
