"""Distribution files made in memory: small valid wheels and sdists that pip and uv install.

The same arguments give the same bytes, so digests can be written down. Nothing is read from or
written to the disk here.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import re
import tarfile
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass

UPLOAD_TIME = "2024-01-02T03:04:05.678901Z"

_PIECE = 16 * 1024 * 1024

# An in-tree build backend (PEP 517) without requirements: pip builds the sdist with no network.
_BACKEND = """\
import pathlib, shutil

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    wheel = next(pathlib.Path("prebuilt").glob("*.whl"))
    shutil.copy(wheel, wheel_directory)
    return wheel.name
"""
_PYPROJECT = """\
[build-system]
requires = {requires}
build-backend = "prebuilt_backend"
backend-path = ["."]
"""


@dataclass(frozen=True, slots=True)
class DistFile:
    """A distribution file with the facts that an index says about it (PEP 691 "files").

    `metadata` is the sidecar (PEP 658), None where there is none; `upload_time` is ISO 8601, None
    where the index does not know it; `yanked` is False, True or the reason (PEP 592).
    """

    filename: str
    body: bytes
    metadata: bytes | None
    sha256: str
    upload_time: str | None = UPLOAD_TIME
    requires_python: str | None = None
    yanked: bool | str = False


def normalized(project: str) -> str:
    """Return the normalized project name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", project).lower()


def make_wheel(
    project: str,
    version: str = "1.0",
    *,
    requires: Iterable[str] = (),
    extras: Iterable[str] = (),
    requires_python: str | None = None,
    size_bytes: int | None = None,
    tag: str = "py3-none-any",
    upload_time: str | None = UPLOAD_TIME,
    yanked: bool | str = False,
    metadata_first: bool = False,
) -> DistFile:
    """Make an installable wheel; incompressible padding brings it to `size_bytes`.

    A `size_bytes` below what the bare wheel needs is ignored; it is met to a byte or two. As in
    most wheels `.dist-info` is last (PEP 427 asks for that), unless it is to be first.
    """
    stem = _stem(project, version)
    metadata = _metadata(project, version, requires, requires_python, extras)
    members = {
        f"{_module(project)}/__init__.py": f'__version__ = "{version}"\n'.encode(),
        f"{stem}.dist-info/METADATA": metadata,
        f"{stem}.dist-info/WHEEL": _wheel_file(tag),
    }
    body = _zip_to_size(members, stem, _module(project), size_bytes, metadata_first)
    digest = hashlib.sha256(body).hexdigest()
    name = f"{stem}-{tag}.whl"
    return DistFile(name, body, metadata, digest, upload_time, requires_python, yanked)


def make_sdist(
    project: str,
    version: str = "1.0",
    *,
    requires: Iterable[str] = (),
    requires_python: str | None = None,
    metadata_version: str = "2.1",
    dynamic: Iterable[str] = (),
    build_requires: Iterable[str] = (),
    upload_time: str | None = UPLOAD_TIME,
    yanked: bool | str = False,
) -> DistFile:
    """Make an sdist (PEP 625) that pip builds, without network unless there are `build_requires`.

    It has no sidecar. Its PKG-INFO counts from `metadata_version` "2.2" on (PEP 643).
    """
    stem = _stem(project, version)
    wheel = make_wheel(project, version, requires=requires, requires_python=requires_python)
    lines = (wheel.metadata or b"").decode().replace("2.1", metadata_version, 1)
    lines += "".join(f"Dynamic: {field}\n" for field in dynamic)
    members = {
        "PKG-INFO": lines.encode(),
        "pyproject.toml": _PYPROJECT.format(requires=json.dumps([*build_requires])).encode(),
        "prebuilt_backend.py": _BACKEND.encode(),
        f"prebuilt/{wheel.filename}": wheel.body,
    }
    body = _tar_gz({f"{stem}/{path}": content for path, content in members.items()})
    digest = hashlib.sha256(body).hexdigest()
    return DistFile(f"{stem}.tar.gz", body, None, digest, upload_time, requires_python, yanked)


def _module(project: str) -> str:
    return normalized(project).replace("-", "_")


def _stem(project: str, version: str) -> str:
    return f"{_module(project)}-{version}"


def _metadata(
    project: str,
    version: str,
    requires: Iterable[str],
    requires_python: str | None,
    extras: Iterable[str],
) -> bytes:
    lines = ["Metadata-Version: 2.1", f"Name: {project}", f"Version: {version}"]
    if requires_python is not None:
        lines.append(f"Requires-Python: {requires_python}")
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    return ("\n".join(lines) + "\n").encode()


def _wheel_file(tag: str) -> bytes:
    text = f"Wheel-Version: 1.0\nGenerator: fake\nRoot-Is-Purelib: true\nTag: {tag}\n"
    return text.encode()


def _zip_to_size(
    members: dict[str, bytes], stem: str, module: str, size_bytes: int | None, padding_last: bool
) -> bytes:
    bare = _zip(members, stem)
    path = f"{module}/padding.bin"
    # One byte of padding shows what its zip and RECORD entries cost; RECORD also spells its length.
    entries = len(_zip({path: b"x"} | members, stem)) - 2
    length = 0 if size_bytes is None else size_bytes - entries
    length -= len(str(length))
    if length <= 0:
        return bare
    padding = {path: _noise(stem, length)}
    return _zip(members | padding if padding_last else padding | members, stem)


def _noise(seed: str, length: int) -> bytes:
    source = random.Random(seed)
    # `randbytes` overflows at 256 MiB.
    pieces = (min(_PIECE, length - start) for start in range(0, length, _PIECE))
    return b"".join(source.randbytes(piece) for piece in pieces)


def _zip(members: dict[str, bytes], stem: str) -> bytes:
    record_path = f"{stem}.dist-info/RECORD"
    record = "".join(_record_line(path, content) for path, content in members.items())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path, content in {
            **members,
            record_path: f"{record}{record_path},,\n".encode(),
        }.items():
            entry = zipfile.ZipInfo(path, date_time=(2024, 1, 2, 3, 4, 4))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def _record_line(path: str, content: bytes) -> str:
    digest = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}\n"


def _tar_gz(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in members.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)
