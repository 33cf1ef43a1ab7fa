"""Core metadata out of wheels, sound and hostile: byte for byte, or a WheelError, and bounded."""

from __future__ import annotations

import io
import random
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pypicached.archive import MAX_DIRECTORY_BYTES, members
from pypicached.wheel import MissingError, Sparse, WheelError, read_metadata
from tests.fake import make_wheel

FILENAME = "alpha-1.0-py3-none-any.whl"
METADATA = "alpha-1.0.dist-info/METADATA"
TEXT = b"Metadata-Version: 2.1\nName: alpha\nVersion: 1.0\n\n" + b"All about it.\n" * 20
LIMIT = 1024 * 1024
METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


def pack(
    *contents: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b""
) -> bytes:
    """Zip members in this order; a name may come twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.comment = comment
        for name, content in contents:
            entry = zipfile.ZipInfo(name, date_time=(2024, 1, 2, 3, 4, 4))
            entry.compress_type = method
            archive.writestr(entry, content)
    return buffer.getvalue()


def wheel(method: int = zipfile.ZIP_DEFLATED, **options: bytes) -> bytes:
    noise = random.Random(7).randbytes(30_000)
    return pack(("alpha/data.bin", noise), (METADATA, TEXT), method=method, **options)


def read(body: bytes, filename: str = FILENAME, limit: int = LIMIT) -> bytes:
    """Read from a file that is known as a whole."""
    sparse = Sparse(len(body))
    sparse.add(0, body)
    return read_metadata(sparse, filename, limit)


def read_lazily(body: bytes, tail: int = 1) -> tuple[bytes, list[int]]:
    """Read from a file of which the end is known, bringing what is asked for, and no more."""
    sparse = Sparse(len(body))
    sparse.add(max(0, len(body) - tail), body[-tail:])
    brought: list[int] = []
    while len(brought) <= 6:
        try:
            return read_metadata(sparse, FILENAME, LIMIT), brought
        except MissingError as missing:
            offset, length = missing.offset, missing.length
        assert 0 <= offset < offset + length <= len(body)
        sparse.add(offset, body[offset : offset + length])
        brought.append(length)
    raise AssertionError("it never has enough")


def patched(body: bytes, mark: bytes, at: int, layout: str, value: int) -> bytes:
    """Overwrite a field of the last record that starts with `mark`."""
    changed = bytearray(body)
    struct.pack_into(f"<{layout}", changed, body.rindex(mark) + at, value)
    return bytes(changed)


def lying_about_size(body: bytes, size: int) -> bytes:
    """Make the last directory entry say another unpacked size."""
    return patched(body, b"PK\1\2", 24, "L", size)


# ── sound wheels ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", METHODS)
def test_wheel__rule_19_byte_for_byte(method: str) -> None:
    """Whatever zipfile unpacks is unpacked, to the byte, from parts as from the whole."""
    body = wheel(METHODS[method])
    assert read(body) == TEXT
    assert read_lazily(body)[0] == TEXT


def test_wheel__of_the_fake_index() -> None:
    """The wheels that tests install are wheels."""
    made = make_wheel("alpha", "1.0", requires=["beta>=2"], size_bytes=100_000)
    assert read(made.body, made.filename) == made.metadata


def test_wheel__zip64() -> None:
    """Sizes and offsets in zip64 records count."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w") as archive,
        archive.open(METADATA, "w", force_zip64=True) as f,
    ):
        f.write(TEXT)
    body = as_zip64(buffer.getvalue())
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.read(METADATA) == TEXT
    assert read(body) == TEXT
    assert read_lazily(body)[0] == TEXT


def as_zip64(body: bytes) -> bytes:
    """Move the numbers of an archive of one member into zip64 records, as if it were huge."""
    end = body.rindex(b"PK\5\6")
    size, offset = struct.unpack_from("<2L", body, end + 12)
    entry = bytearray(body[offset:end])
    packed, unpacked = struct.unpack_from("<2L", entry, 20)
    (header,) = struct.unpack_from("<L", entry, 42)
    name_length = struct.unpack_from("<H", entry, 28)[0]
    numbers = struct.pack("<2H3Q", 1, 24, unpacked, packed, header)
    struct.pack_into("<2L", entry, 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<H", entry, 30, len(numbers))
    struct.pack_into("<L", entry, 42, 0xFFFFFFFF)
    entry[46 + name_length : 46 + name_length] = numbers
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(entry), offset)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, offset + len(entry), 1)
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
    assert size == len(entry) - len(numbers)
    return body[:offset] + bytes(entry) + end64 + locator + last


def test_wheel__behind_a_prefix() -> None:
    """Bytes before the archive move its offsets (a self-extracting wheel is one)."""
    body = b"#!/bin/sh\nexec true\n" * 50 + wheel()
    assert read(body) == TEXT
    assert read_lazily(body)[0] == TEXT


@pytest.mark.parametrize("length", [1, 500, 65_535])
def test_wheel__with_a_comment(length: int) -> None:
    """A comment of any length after the directory is passed over."""
    body = wheel(comment=b"c" * length)
    assert read(body) == TEXT
    assert read_lazily(body, tail=22)[0] == TEXT


def test_wheel__long_extra_field_in_front_of_the_content() -> None:
    """A local header may be longer than its directory entry tells (aligned archives are)."""
    plain = pack((METADATA, TEXT), method=zipfile.ZIP_STORED)
    extra = struct.pack("<2H", 0xCAFE, 2000) + bytes(2000)
    head = 30 + len(METADATA)
    body = plain[:28] + struct.pack("<H", len(extra)) + plain[30:head] + extra + plain[head:]
    body = patched(body, b"PK\5\6", 16, "L", body.index(b"PK\1\2"))
    assert read(body) == TEXT
    assert read_lazily(body)[0] == TEXT


@pytest.mark.parametrize(
    ("filename", "directory"),
    [
        ("Foo.Bar-1.0-py3-none-any.whl", "foo_bar-1.0"),
        ("foo_bar-1.0-py3-none-any.whl", "Foo.Bar-1.0"),
        ("foo_bar-1.0-py3-none-any.whl", "foo-bar-1.0"),
        ("foo-1.0+local.2-py3-none-any.whl", "foo-1.0+local_2"),
        ("foo-1.0-1-py3-none-any.whl", "foo-1.0"),
        ("foo-01.0-py3-none-any.whl", "foo-1.0"),
    ],
)
def test_wheel__spellings_of_its_name(filename: str, directory: str) -> None:
    """The directory is found however old and new tools spell name and version."""
    assert read(pack((f"{directory}.dist-info/METADATA", TEXT)), filename) == TEXT


def test_wheel__metadata_of_others_beside_it() -> None:
    """METADATA of another name, deeper down, or of a name that starts alike is not this wheel's."""
    body = pack(
        ("beta-1.0.dist-info/METADATA", b"no"),
        ("alpha/_vendor/alpha-1.0.dist-info/METADATA", b"no"),
        ("alpha-extras-3.0.dist-info/METADATA", b"no"),
        (METADATA, TEXT),
        ("alpha-1.0.dist-info/METADATA.bak", b"no"),
    )
    assert read(body) == TEXT


# ── only what is needed ──────────────────────────────────────────────────────────────────────


def test_wheel__asks_for_little() -> None:
    """A large wheel's metadata takes its directory and the member, in three reads."""
    body = pack(
        ("alpha/data.bin", random.Random(1).randbytes(5_000_000)),
        (METADATA, TEXT),
        ("alpha/more.bin", random.Random(2).randbytes(1_000_000)),
        method=zipfile.ZIP_STORED,
    )
    found, brought = read_lazily(body, tail=100)
    assert found == TEXT
    assert len(brought) == 2
    assert sum(brought) < len(TEXT) + 1000


def test_wheel__many_members() -> None:
    """20,000 members are read in a moment."""
    body = pack(*((f"alpha/m{n}.py", b"") for n in range(20_000)), (METADATA, TEXT))
    started_at = time.process_time()
    assert read(body) == TEXT
    assert time.process_time() - started_at < 0.5


# ── hostile wheels ───────────────────────────────────────────────────────────────────────────

BAD: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no zip file": lambda: b"<html>not found</html>" * 100,
    "only a directory's end": lambda: b"PK\5\6" + bytes(18),
    "without METADATA": lambda: pack(("alpha/__init__.py", b"")),
    "METADATA of another project": lambda: pack(("beta-1.0.dist-info/METADATA", TEXT)),
    "METADATA of a longer name": lambda: pack(("alphabet-1.0.dist-info/METADATA", TEXT)),
    "METADATA deeper down": lambda: pack((f"alpha/{METADATA}", TEXT)),
    "METADATA in no directory": lambda: pack(("METADATA", TEXT)),
    "two directories": lambda: pack(
        ("alpha-1.1.dist-info/METADATA", TEXT), ("alpha-1.2.dist-info/METADATA", TEXT)
    ),
    "two spellings": lambda: pack((METADATA, TEXT), ("Alpha-1.0.dist-info/METADATA", b"x")),
    "the directory ends early": lambda: patched(wheel(), b"PK\5\6", 12, "L", 20),
    "the directory is larger than the file": lambda: patched(
        wheel(), b"PK\5\6", 12, "L", MAX_DIRECTORY_BYTES
    ),
    "the directory is huge": lambda: patched(wheel(), b"PK\5\6", 12, "L", 2**32 - 1),
    "size too small": lambda: lying_about_size(wheel(), len(TEXT) - 1),
    "size too large": lambda: lying_about_size(wheel(), len(TEXT) + 1),
    "size of nothing": lambda: lying_about_size(wheel(), 0),
    "packed size beyond the file": lambda: patched(wheel(), b"PK\1\2", 20, "L", 900_000),
    "wrong CRC": lambda: patched(wheel(), b"PK\1\2", 16, "L", 1),
    "encrypted": lambda: patched(wheel(), b"PK\1\2", 8, "H", 1),
    "strongly encrypted": lambda: patched(wheel(), b"PK\1\2", 8, "H", 0x41),
    "a method that nobody has": lambda: patched(wheel(), b"PK\1\2", 10, "H", 77),
    "zstd": lambda: patched(wheel(), b"PK\1\2", 10, "H", 93),
    "stored, it says": lambda: patched(wheel(), b"PK\1\2", 10, "H", 0),
    "bzip2, it says": lambda: patched(wheel(), b"PK\1\2", 10, "H", 12),
    "lzma, it says": lambda: patched(wheel(), b"PK\1\2", 10, "H", 14),
    "header elsewhere": lambda: patched(wheel(), b"PK\1\2", 42, "L", 5),
    "header beyond the file": lambda: patched(wheel(), b"PK\1\2", 42, "L", 2**31),
    "header in a zip64 field that is not there": lambda: patched(
        wheel(), b"PK\1\2", 42, "L", 2**32 - 1
    ),
    "header of another name": lambda: wheel().replace(METADATA.encode(), b"x" * len(METADATA), 1),
}


@pytest.mark.parametrize("bad", BAD)
def test_wheel__bad_is_refused(bad: str) -> None:
    """A wheel that is damaged, ambiguous or made up is a WheelError, from parts as well."""
    body = BAD[bad]()
    with pytest.raises(WheelError):
        read(body)
    if body:
        with pytest.raises(WheelError):
            read_lazily(body)


@pytest.mark.parametrize("name", [METADATA, "alpha-1.1.dist-info/METADATA"])
def test_wheel__doubled_member(name: str) -> None:
    """The same name twice is refused: which of them a client reads is anybody's guess."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        body = pack((name, TEXT), (name, b"Name: other\n"))
    with pytest.raises(WheelError, match="has 2 METADATA"):
        read(body)


def test_wheel__metadata_beyond_the_limit() -> None:
    """The refusal of large metadata names the setting; at the limit it is read."""
    assert read(wheel(), limit=len(TEXT)) == TEXT
    with pytest.raises(WheelError, match="metadata_size"):
        read(wheel(), limit=len(TEXT) - 1)
    with pytest.raises(WheelError, match="metadata_size"):
        read(wheel(zipfile.ZIP_STORED), limit=len(TEXT) - 1)


@pytest.mark.parametrize("method", ["deflated", "bzip2", "lzma"])
def test_wheel__bomb(method: str) -> None:
    """What unpacks to far more than its directory says costs no more memory than it says."""
    body = pack((METADATA, bytes(50_000_000)), method=METHODS[method])
    assert len(body) < 100_000
    with pytest.raises(WheelError, match="metadata_size"):
        read(body)
    body = lying_about_size(body, 1000)
    tracemalloc.start()
    try:
        with pytest.raises(WheelError):
            read(body)
        # An LZMA dictionary is 8 MiB by default.
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()


def test_wheel__lzma_dictionary_is_bounded() -> None:
    """A stream that asks for a dictionary of 4 GiB is refused."""
    body = pack((METADATA, TEXT), method=zipfile.ZIP_LZMA)
    # Version, length of the properties, lc/lp/pb, then the size of the dictionary.
    at = 30 + len(METADATA) + 5
    body = body[:at] + b"\xff\xff\xff\xff" + body[at + 4 :]
    with pytest.raises(WheelError, match="damaged"):
        read(body)


def test_wheel__directory_of_a_million_entries() -> None:
    """As many entries as fit into the largest directory are looked through in bounded time."""
    count = MAX_DIRECTORY_BYTES // 46
    directory = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[0] * 16) * count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, len(directory), 0, 0)
    started_at = time.process_time()
    with pytest.raises(WheelError, match="no METADATA"):
        read(directory + end)
    assert time.process_time() - started_at < 2


@given(st.binary(max_size=3000))
def test_wheel__arbitrary_bytes(body: bytes) -> None:
    """Bytes that are anything end in WheelError."""
    with pytest.raises(WheelError):
        read(body)


@given(st.data())
@settings(deadline=None)
def test_wheel__flipped_bytes(data: st.DataObject) -> None:
    """A flipped byte anywhere changes nothing, or ends in WheelError; METADATA is never another."""
    method = data.draw(st.sampled_from(sorted(METHODS)))
    body = bytearray(pack(("alpha/a.py", b"pass"), (METADATA, TEXT), method=METHODS[method]))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(body) - 1))
        body[position] ^= data.draw(st.integers(1, 255))
    try:
        found, _ = read_lazily(bytes(body))
    except WheelError:
        return
    assert found == TEXT


@given(st.integers(min_value=0), st.sampled_from(sorted(METHODS)))
def test_wheel__truncated(keep: int, method: str) -> None:
    """A wheel that ends early is a WheelError."""
    body = wheel(METHODS[method])
    with pytest.raises(WheelError):
        read(body[: keep % len(body)])


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=8), st.data())
def test_sparse__knows_what_it_was_given(parts: list[tuple[int, int]], data: st.DataObject) -> None:
    """A region is returned as it is in the file, or asked for as a whole."""
    body = random.Random(3).randbytes(100)
    sparse = Sparse(len(body))
    for offset, length in parts:
        sparse.add(offset, body[offset : offset + length])
    offset = data.draw(st.integers(0, 100))
    length = data.draw(st.integers(0, 100 - offset))
    held = [(o, min(o + n, 100)) for o, n in parts]
    if length == 0 or any(start <= offset and offset + length <= stop for start, stop in held):
        assert sparse.read(offset, length) == body[offset : offset + length]
    else:
        with pytest.raises(MissingError, match=f"^{length} bytes at {offset}$"):
            sparse.read(offset, length)


def test_archive__tells_what_zipfile_tells() -> None:
    """The directory is read as zipfile reads it."""
    body = pack((METADATA, TEXT), ("alpha/a.py", b"pass"), ("alpha/\xe4.py", b""))
    sparse = Sparse(len(body))
    sparse.add(0, body)
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        expected = [
            (i.filename.encode(), i.CRC, i.compress_size, i.file_size, i.header_offset)
            for i in archive.infolist()
        ]
    found = [(m.name, m.crc, m.packed_bytes, m.size_bytes, m.offset) for m in members(sparse)]
    assert found == expected
