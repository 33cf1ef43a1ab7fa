"""What an sdist says about itself, without building it: PKG-INFO and the build requirements.

Reads one file of this disk, in the resolver's own process: unpacking takes the GIL for long. The
file may be hostile, so what is unpacked has a bound.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import tomllib
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

from pypicached.simple.names import split_suffix
from pypicached.warm.bounded import read_requirement
from pypicached.warm.core_metadata import (
    CoreMetadata,
    MetadataError,
    UnknownDependenciesError,
    parse_pkg_info,
)

# Beyond any sdist that is known; half a minute of unpacking.
LIMIT_BYTES = 2 * 1024**3
MEMBER_BYTES = 8 * 1024**2
# What pip installs to build where nothing is said (PEP 518, `pyproject.py`).
DEFAULT_REQUIRES = ("setuptools>=40.8.0",)

_OPENERS: dict[str, Callable[[Path], Any]] = {
    ".tar": lambda path: path.open("rb"),
    **dict.fromkeys((".tar.gz", ".tgz"), gzip.open),
    **dict.fromkeys((".tar.bz2", ".tbz"), bz2.open),
    **dict.fromkeys((".tar.xz", ".txz", ".tlz", ".tar.lzma"), lzma.open),
}
_BROKEN = (OSError, EOFError, MemoryError, tarfile.TarError, lzma.LZMAError, zipfile.BadZipFile,
           zlib.error, NotImplementedError, RuntimeError, ValueError)  # fmt: skip


class Sdist(NamedTuple):
    """An sdist's two files, None where it has none."""

    pkg_info: bytes | None
    pyproject: bytes | None

    def metadata(self) -> CoreMetadata:
        """Return its static metadata; MetadataError, or UnknownDependenciesError (PEP 643)."""
        if self.pkg_info is None:
            raise UnknownDependenciesError("it has no PKG-INFO")
        return parse_pkg_info(self.pkg_info)

    def build_requires(self) -> tuple[str, ...]:
        """Return what has to be there to build it (PEP 518); MetadataError if it is unreadable.

        What its backend asks for beyond that (PEP 517 `get_requires_for_build_wheel`) only a build
        would tell.
        """
        if self.pyproject is None:
            return DEFAULT_REQUIRES
        try:
            table = tomllib.loads(self.pyproject.decode()).get("build-system")
            requires = DEFAULT_REQUIRES if table is None else tuple(table["requires"])
            for text in requires:
                read_requirement(text)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise MetadataError("its pyproject.toml has no usable [build-system]") from None
        return requires


def read_sdist(path: Path, filename: str) -> Sdist:
    """Read an sdist; `filename` is its name on its page. MetadataError if it cannot be read."""
    suffix = split_suffix(filename)[1].lower()
    try:
        if suffix == ".zip":
            return _zip(path)
        with _OPENERS[suffix](path) as unpacked:
            return _tar(unpacked)
    except _BROKEN:
        raise MetadataError("it is no sdist that can be read") from None


class _Bounded:
    """A file that may be read so far and no further."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = LIMIT_BYTES

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; ValueError beyond the bound."""
        chunk = self._file.read(size)
        self._left -= len(chunk)
        if self._left < 0:
            raise ValueError("too large")
        return chunk


def _tar(unpacked: IO[bytes]) -> Sdist:
    found: dict[str, bytes] = {}
    bounded: Any = _Bounded(unpacked)
    # In a stream, so that a compressed file is unpacked once.
    with tarfile.open(fileobj=bounded, mode="r|") as archive:
        for member in archive:
            name = _wanted(member.name)
            if name is None or name in found or not member.isfile() or member.size > MEMBER_BYTES:
                continue
            content = archive.extractfile(member)
            found[name] = b"" if content is None else content.read()
            if len(found) == 2:
                break
    return Sdist(found.get("PKG-INFO"), found.get("pyproject.toml"))


def _zip(path: Path) -> Sdist:
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = _wanted(member.filename)
            # Others are unpacked by zipfile without a bound.
            plain = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
            if name is None or name in found or not plain:
                continue
            with archive.open(member) as content:
                found[name] = content.read(MEMBER_BYTES)
    return Sdist(found.get("PKG-INFO"), found.get("pyproject.toml"))


def _wanted(path: str) -> str | None:
    """Return the name of a member that counts: one directory down, as sdists are laid out."""
    parts = path.removeprefix("./").split("/")
    return parts[1] if len(parts) == 2 and parts[1] in {"PKG-INFO", "pyproject.toml"} else None
