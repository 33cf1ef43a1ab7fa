"""Rows judged in batches: never other than one by one."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from pypicached.simple.rows import FileRows, are_digests, are_usable, digests, is_usable

BASE = "https://index.example/simple/foo/"
LONG = ("x" * 255, "x" * 256)
FILENAMES = st.sampled_from(
    ("a-1.0.zip", "b-1.0.zip", "", ".", "..", "a/b", "a\\b", "a\x00b", "a\u2028b", "é.zip", *LONG)
)
HREFS = st.builds(
    "{}{}".format,
    st.sampled_from(["", "https://h.example/", "https://i.example/", "../../files/"]),
    st.sampled_from(["a-1.0.zip", "b-1.0.zip", "%61-1.0.zip", "a//b", "..", "", "b?x", "b\x00"]),
)
VALUES = st.sampled_from(["", "ab", "AB", "zz", "a b", "é", "0" * 64])
CLAIMS = st.dictionaries(st.sampled_from(["", "sha256", "md5"]), VALUES, max_size=2)


@given(st.lists(st.tuples(FILENAMES, HREFS), max_size=5), st.integers(0, 5))
@example([("a-1.0.zip", "https://h.example/a"), ("b-1.0.zip", "https://h.example/a")], 0)
@example([("a-1.0.zip", "https://h.example/a"), ("b-1.0.zip", "https://h.example/a")], 1)
@example([("a-1.0.zip", "../a"), ("b-1.0.zip", "../b")], 1)
def test_rows__in_batches_as_one_by_one(rows: list[tuple[str, str]], cut: int) -> None:
    """However many rows are judged at once, the same are kept and counted, the first of a key."""
    together, alone = FileRows(BASE), FileRows(BASE)
    placed: list[str | None] = []
    for batch in (rows[:cut], rows[cut:]):
        placed += together.place([name for name, _ in batch], [href for _, href in batch])
    assert placed == [alone.place([name], [href])[0] for name, href in rows]
    assert together.dropped == alone.dropped


@given(st.lists(FILENAMES | st.text(max_size=4), max_size=4))
def test_are_usable__as_each_by_itself(filenames: list[str]) -> None:
    """Names are all usable exactly if each of them is."""
    assert are_usable(filenames) == all(is_usable(name) for name in filenames)


@given(st.lists(CLAIMS, max_size=4))
def test_are_digests__as_each_by_itself(claims: list[dict[str, str]]) -> None:
    """Digests are all left alone exactly if none of them would be changed."""
    assert are_digests(claims) == all(digests(claimed) == claimed for claimed in claims)
