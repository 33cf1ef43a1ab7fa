"""Digests: every given hash counts, and so does the length."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from pypicached.cache.digests import Digests, Expected

ALGORITHMS = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "blake2b", "sha3_256"]
bodies = st.binary(max_size=300)


def digested(expected: Expected, body: bytes, step: int = 7) -> Digests:
    """Feed a body in pieces."""
    running = Digests(expected)
    for start in range(0, len(body), step):
        running.update(body[start : start + step])
    return running


@given(bodies, st.sets(st.sampled_from(ALGORITHMS)), st.integers(1, 400), st.booleans())
def test_digests__right_body(body: bytes, names: set[str], step: int, upper: bool) -> None:
    """The right body matches under any set of algorithms, however it is cut, in any case."""
    hashes = {name: hashlib.new(name, body).hexdigest() for name in names}
    if upper:
        hashes = {name: value.upper() for name, value in hashes.items()}
    running = digested(Expected(size=len(body), hashes=hashes), body, step)
    assert running.mismatch(len(body)) is None
    assert running.sha256() == hashlib.sha256(body).hexdigest()
    assert running.verifying == bool(names)


@given(bodies, bodies, st.sampled_from(ALGORITHMS))
def test_digests__any_wrong_hash_is_told(body: bytes, other: bytes, name: str) -> None:
    """One hash that does not match is enough, and is named."""
    hashes = {a: hashlib.new(a, body).hexdigest() for a in ALGORITHMS}
    hashes[name] = hashlib.new(name, other).hexdigest()
    wrong = digested(Expected(hashes=hashes), body).mismatch(len(body))
    assert wrong == (None if body == other else f"sent bytes that do not match their {name}")


@given(bodies, st.integers(0, 400))
def test_digests__length(body: bytes, size: int) -> None:
    """A length that differs from the page is told with both numbers."""
    wrong = digested(Expected(size=size), body).mismatch(len(body))
    expected = None if size == len(body) else f"sent {len(body)} bytes of a file of {size}"
    assert wrong == expected


def test_digests__unknown_algorithms() -> None:
    """What hashlib does not know, or gives no fixed length, verifies nothing and breaks nothing."""
    running = digested(Expected(hashes={"shake_128": "00", "crc7": "00", "": ""}), b"body")
    assert running.mismatch(4) is None
    assert not running.verifying
