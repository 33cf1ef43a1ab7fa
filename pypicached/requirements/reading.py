"""All that a user names, requirements and files of any kind → `Inputs`, or all that is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pypicached.errors import clean
from pypicached.requirements.findings import Findings, Read
from pypicached.requirements.locks import is_pylock, read_lock
from pypicached.requirements.model import ALL, Inputs, Origin, Selection
from pypicached.requirements.pyproject import is_pyproject, read_pyproject
from pypicached.requirements.requirements_txt import RequirementsReader
from pypicached.requirements.wishes import NotOnIndexError, parse_wish


def read_inputs(
    requirements: Iterable[str] = (),
    *,
    files: Iterable[str] = (),
    constraints: Iterable[str] = (),
    locks: Iterable[str] = (),
    selection: Selection | None = None,
    read: Read,
    environ: Mapping[str, str],
) -> Inputs:
    """Return everything that is asked for; BadInputError with every problem of every file.

    `requirements` are those of the command line. `files` are requirements files, `pyproject.toml`
    or `pylock.toml`, by their names, as for `pip install -r`. `read` returns the text of a file and
    may raise OSError or UnicodeError; `environ` are the variables that requirements files may name.
    """
    findings = Findings(selection or Selection())
    for text in requirements:
        _read_requirement(text, findings)
    _read_files(files, constraints, read, environ, findings)
    for file in locks:
        read_lock(file, read, findings)
    _check_selection(findings)
    return findings.inputs()


def _read_requirement(text: str, findings: Findings) -> None:
    origin = Origin()
    try:
        findings.wishes.append(parse_wish(text, origin))
    except NotOnIndexError as error:
        findings.leave_out(origin, str(error))
    except ValueError as error:
        findings.problem(origin, str(error))


def _read_files(
    files: Iterable[str],
    constraints: Iterable[str],
    read: Read,
    environ: Mapping[str, str],
    findings: Findings,
) -> None:
    reader = RequirementsReader(findings, read, environ)
    for file in files:
        if is_pyproject(file):
            read_pyproject(file, read, findings)
        elif is_pylock(file):
            read_lock(file, read, findings)
        else:
            reader.read(file)
    for file in constraints:
        reader.read(file, constraints=True)


def _check_selection(findings: Findings) -> None:
    """Note a selected extra or group that no file has: it is misspelt."""
    selection = findings.selection
    for kind, wanted, known in (
        ("extra", selection.extras, findings.known_extras),
        ("group", selection.groups or frozenset(), findings.known_groups),
    ):
        for name in sorted(wanted - known - {ALL}):
            there = f"there are {clean(', '.join(sorted(known)))}" if known else "there are none"
            findings.problem(Origin(), f'no file has the {kind} "{clean(name, 80)}": {there}')
