"""Reading a wheel's core metadata from as few of its bytes as will do. Pure: no I/O, no await.

A wheel is a zip file whose `{name}-{version}.dist-info/METADATA` is one member (PEP 427). Which
one, if a hostile wheel has several, is decided here; how it is unpacked, in `archive`.
"""

from __future__ import annotations

from pypicached.archive import ArchiveError, Member, MissingError, Sparse, members, unpack
from pypicached.errors import PypicachedError
from pypicached.simple.names import normalize

__all__ = ["MissingError", "Sparse", "WheelError", "read_metadata"]

SUFFIX = b".dist-info/METADATA"


class WheelError(PypicachedError):
    """The file is no wheel whose metadata can be read; the message is a phrase of ours."""


def read_metadata(wheel: Sparse, filename: str, limit_bytes: int) -> bytes:
    """Return the METADATA file of a wheel, byte for byte, its CRC checked.

    Raises MissingError for bytes that must be brought first, WheelError for a file that is no sound
    wheel or whose metadata is larger than `limit_bytes`; nothing else, whatever the bytes are.
    """
    try:
        member = _choose([member for member in members(wheel) if _is_metadata(member)], filename)
        if max(member.size_bytes, member.packed_bytes) > limit_bytes:
            raise WheelError("its metadata is larger than [limits] metadata_size")
        return unpack(wheel, member, limit_bytes)
    except ArchiveError as error:
        raise WheelError(str(error)) from error


def _is_metadata(member: Member) -> bool:
    return member.name.endswith(SUFFIX) and b"/" not in member.name[: -len(SUFFIX)]


def _choose(found: list[Member], filename: str) -> Member:
    """Return the wheel's own METADATA: of its name and version, else the only one of its name.

    The file name escapes what the directory may not (PEP 427 "Escaping and Unicode", and older
    tools), so both are normalized; a version of several spellings is why its name may do.
    """
    name, _, rest = filename.partition("-")
    version = rest.partition("-")[0]
    project = normalize(name)
    exact, near = [], []
    for member in found:
        owner = normalize(member.name[: -len(SUFFIX)].decode("utf-8", "replace"))
        if owner == normalize(f"{name}-{version}"):
            exact.append(member)
        elif owner.startswith(f"{project}-"):
            near.append(member)
    chosen = exact or near
    if len(chosen) != 1:
        raise WheelError(f"it has {len(chosen) or 'no'} METADATA of its own name")
    return chosen[0]
