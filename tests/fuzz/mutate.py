"""Changes bytes, by a seeded generator: a little, so that most of it stays valid. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

Mutation = Callable[[random.Random, bytes], bytes]

# What parsers decide by, and what trips them.
TOKENS: tuple[bytes, ...] = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b";", b",", b"/", b"//",
    b"/../", b"%", b"%00", b"%2f", b"%2e%2e", b"%0d%0a", b"?", b"#", b"\\", b"\xff", b"\xc0\xaf",
    b"\xe2\x80\xae", b"-1", b"0", b"1", b"65536", b"4294967296", b"18446744073709551616",
    b"9" * 40, b"0x10", b"1e9", b"NaN", b"null", b"[", b"]", b"{", b"}", b'"', b"'", b"<", b">",
    b"</", b"<!--", b"&#0;", b"\\ud800", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n", b"Connection: close\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Expect: 100-continue\r\n",
    b"Range: bytes=0-\r\n", b"Range: bytes=-5\r\n", b"Host: y\r\n",
    b"Location: http://127.0.0.1:9/\r\n", b"Content-Range: bytes 0-9/10\r\n",
    b"HTTP/1.1 100 x\r\n\r\n", b"HTTP/1.0", b"HTTP/2.0", b"HEAD", b"POST", b"204", b"206", b"301",
    b"304", b"404", b"416", b"500",
)  # fmt: skip


def mutate(dice: random.Random, seed: bytes, others: Sequence[bytes]) -> bytes:
    """Return `seed` changed at one to four places; `others` are spliced in now and then."""
    changed = seed
    for _ in range(dice.choice((1, 1, 1, 2, 2, 4))):
        if dice.random() < 0.05:
            other = dice.choice(others)
            changed = changed[: _place(dice, changed)] + other[_place(dice, other) :]
        else:
            changed = dice.choice(MUTATIONS)(dice, changed)
    return changed


def _place(dice: random.Random, where: bytes) -> int:
    return dice.randrange(len(where) + 1)


def _flip(dice: random.Random, old: bytes) -> bytes:
    new = bytearray(old or b"x")
    new[dice.randrange(len(new))] ^= 1 << dice.randrange(8)
    return bytes(new)


def _any_byte(dice: random.Random, old: bytes) -> bytes:
    new = bytearray(old or b"x")
    new[dice.randrange(len(new))] = dice.randrange(256)
    return bytes(new)


def _insert(dice: random.Random, old: bytes) -> bytes:
    at = _place(dice, old)
    return old[:at] + dice.choice(TOKENS) + old[at:]


def _insert_line(dice: random.Random, old: bytes) -> bytes:
    """Put a token where a line begins: there it is a header, most often."""
    lines = old.split(b"\r\n")
    lines.insert(_place_of(dice, lines), dice.choice(TOKENS).rstrip(b"\r\n"))
    return b"\r\n".join(lines)


def _place_of(dice: random.Random, lines: list[bytes]) -> int:
    return dice.randrange(min(len(lines), 12) + 1)


def _remove(dice: random.Random, old: bytes) -> bytes:
    at = _place(dice, old)
    return old[:at] + old[at + dice.choice((1, 2, 8, 64)) :]


def _repeat(dice: random.Random, old: bytes) -> bytes:
    at = _place(dice, old)
    part = old[at : at + dice.choice((1, 4, 16, 200))]
    return old[:at] + part * dice.choice((2, 3, 50, 300)) + old[at:]


def _replace_number(dice: random.Random, old: bytes) -> bytes:
    digits = [at for at in range(len(old)) if old[at : at + 1].isdigit()]
    if not digits:
        return old
    at = dice.choice(digits)
    return old[:at] + dice.choice((b"", b"0", b"7", b"00", b"-1", b"9" * 20)) + old[at + 1 :]


def _cut(dice: random.Random, old: bytes) -> bytes:
    return old[: _place(dice, old)]


MUTATIONS: tuple[Mutation, ...] = (
    _flip, _any_byte, _insert, _insert, _insert_line, _insert_line, _remove, _repeat,
    _replace_number, _cut,
)  # fmt: skip
