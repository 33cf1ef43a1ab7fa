"""Reading from a dict of files instead of a disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pypicached.errors import BadInputError
from pypicached.requirements.model import Inputs
from pypicached.requirements.reading import read_inputs

LOCKS = Path(__file__).parent / "locks"


def reader(files: Mapping[str, str]) -> Callable[[Path], str]:
    """Return a reading callback over a dict of names (as the code asks for them) to text."""

    def read(path: Path) -> str:
        try:
            return files[str(path)]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory") from None

    return read


def read_text(
    text: str, more: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
) -> Inputs:
    """Return what `requirements.txt` with that text asks for; `more` are files by their names."""
    files = {"requirements.txt": text, **(more or {})}
    return read_inputs(files=["requirements.txt"], read=reader(files), environ=environ or {})


def problems_of(text: str, more: Mapping[str, str] | None = None) -> list[str]:
    """Return why `requirements.txt` with that text cannot be used."""
    with pytest.raises(BadInputError) as caught:
        read_text(text, more)
    return caught.value.problems


def read_lock(text: str, name: str, **options: Any) -> Inputs:
    """Return what a lock file with that text and name asks for."""
    return read_inputs(locks=[name], read=reader({name: text}), environ={}, **options)


def lock_problems(text: str, name: str) -> list[str]:
    """Return why a lock file with that text and name cannot be used."""
    with pytest.raises(BadInputError) as caught:
        read_lock(text, name)
    return caught.value.problems


def read_example(name: str, **options: Any) -> Inputs:
    """Return what an example made by a real tool asks for."""
    return read_lock((LOCKS / name).read_text(), name, **options)
