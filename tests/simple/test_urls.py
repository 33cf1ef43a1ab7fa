"""URLs: one key per file, links that keep upstream's spelling, and what has no key."""

from __future__ import annotations

from urllib.parse import urljoin

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pypicached.simple.urls import (
    Links,
    file_key,
    file_keys,
    link_path,
    link_paths,
    place,
    plain_keys,
    request_key,
)

SEGMENTS = st.text(
    st.sampled_from("aZ0-._~!$&'()*+,;=:@%2Bfé €\"<>|^`{}[]\\\x00\x7f#?") | st.characters(),
    min_size=0,
    max_size=8,
) | st.sampled_from(["..", ".", "%2e%2E", "%2F", "%5c", "%00", "a%2Bb", "a+b", "%zz", "%"])
HOSTS = st.sampled_from(
    [
        "h",
        "H.Example:8080",
        "u:p@host",
        "[::1]:80",
        "[FE80::1]",
        "",
        "..",
        "é.example",
        "a%41",
        "a:",
    ]
)
URLS = st.builds(
    lambda scheme, host, segments, tail: f"{scheme}://{host}/{'/'.join(segments)}{tail}",
    st.sampled_from(["http", "https", "HTTPS", "ftp", "file"]),
    HOSTS,
    st.lists(SEGMENTS, min_size=1, max_size=5),
    st.sampled_from(["", "?sig=a%2Fb", "#sha256=00", "?", "/"]),
)


@given(URLS | st.text())
@example("https://h/a b/%zz/é.whl?x=1#y")
@example("http://[::1]:80/a.whl")
def test_request_key__of_our_link_is_the_file_key(url: str) -> None:
    """The way to our link and back always gives the key of the file."""
    assert request_key(link_path(url)) == file_key(url)


@given(URLS)
def test_place__keeps_the_key_and_gives_a_legal_url(url: str) -> None:
    """What is kept of a URL has the same key, no userinfo, no fragment and nothing illegal."""
    placed = place(url)
    if placed is None:
        return
    kept, key = placed
    assert key == file_key(url) == file_key(kept)
    assert kept.isascii()
    assert not set(kept) & set(' "<>\\^`{}|#')
    assert "@" not in kept.split("/")[2]
    assert place(kept) == placed


USUAL = "https://h.example:80/packages/ab/a-1.0+cpu-py3-none-any.whl"


@given(st.lists(URLS | st.just(USUAL) | st.text(), max_size=4))
@example([USUAL, "https://h.example:80/b.whl"])
@example([USUAL, USUAL + "\n" + USUAL])
@example([USUAL, USUAL + "\nx"])
@example([USUAL, "https://h.example:80/"])
@example(["https://h.example:80/", USUAL])
@example([USUAL, "https://h.example:80/a//b"])
@example([USUAL, "https://h.example:80/a/.."])
@example([USUAL, "https://H.example:80/b.whl"])
@example([USUAL, "http://h.example:80/b.whl"])
@example([USUAL, USUAL + "?x"])
def test_plain_keys__as_each_by_itself(urls: list[str]) -> None:
    """What is judged at once is what each URL would be judged to be."""
    keys = plain_keys(urls)
    if keys is not None:
        assert keys == [file_key(url) for url in urls] == [link_path(url) for url in urls]
        assert [place(url) for url in urls] == list(zip(urls, keys, strict=True))
    assert file_keys(urls) == [file_key(url) for url in urls]
    assert link_paths(urls) == [link_path(url) for url in urls]


def test_plain_keys__usual_pages() -> None:
    """The URLs that nearly all pages have are judged at once."""
    urls = [f"https://files.example/packages/{n:064x}/a-{n}.tar.gz" for n in range(3)]
    assert plain_keys(urls) == [url.removeprefix("https://") for url in urls]


@given(st.binary(max_size=20))
def test_request_key__any_bytes(raw: bytes) -> None:
    """No request path makes it fail, whatever its bytes are."""
    key = request_key("h/" + raw.decode("utf-8", "surrogateescape"))
    assert key is None or (key.isascii() and key.startswith("h/"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://h/a+b", "https://H/a%2Bb"),
        ("http://h/a%2bb", "http://h/a%2Bb"),
        ("http://h/a!b", "http://h/a%21b"),
        ("http://h/a~b", "http://h/a%7Eb"),
        ("http://h/a b", "http://h/a%20b"),
        ("http://h/é", "http://h/%C3%A9"),
        ("http://u:p@h/%61?x#y", "http://h/a"),
        ("http://h/a%3Fb", "http://h/a%3fb?c"),
        ("http://h/%zz", "http://h/%25zz"),
    ],
)
def test_file_key__rule_28_spellings_are_one_file(one: str, other: str) -> None:
    """Scheme, userinfo, query, fragment, case of the host and spelling do not count."""
    assert file_key(one) == file_key(other) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://h/a+b", "http://h/a%20b"),
        ("http://h/a", "http://h/A"),
        ("http://h/a", "http://h:80/a"),
        ("http://h/a%3Fb", "http://h/a?b"),
        ("http://h/a%25zz", "http://h/a%2525zz"),
    ],
)
def test_file_key__different_files_differ(one: str, other: str) -> None:
    """A plus is no space, letters have case, and an encoded mark is part of the path."""
    assert file_key(one) != file_key(other)


FORBIDDEN = [
    "..", ".", "%2e", "%2E%2e", ".%2e", "", "a%2Fb", "a%2fb", "a%5Cb", "a\\b", "a%00b", "a\x00b",
    "a%0Ab", "a\nb", "a%7F",
]  # fmt: skip


@pytest.mark.parametrize("segment", FORBIDDEN)
@pytest.mark.parametrize("path", ["{}/x.whl", "a/{}/x.whl", "a/{}"])
def test_keys__rule_64_forbidden_segments(segment: str, path: str) -> None:
    """A forbidden segment anywhere leaves a file without a key, upstream's and ours."""
    assert file_key("http://h/" + path.format(segment)) is None
    assert place("http://h/" + path.format(segment)) is None
    assert request_key("h/" + path.format(segment)) is None


@pytest.mark.parametrize(
    "host", ["", "..", ".", "%2e%2e", "a%2Fb", "a b", "é", "h:", "h:x", "[::1"]
)
def test_keys__bad_hosts(host: str) -> None:
    """A host that is none has no key."""
    assert file_key(f"http://{host}/x") is None
    assert request_key(f"{host}/x") is None


@pytest.mark.parametrize("raw", ["", "h", "h/", "h/a?b", "h/a#b", "/h/a"])
def test_request_key__no_path(raw: str) -> None:
    """A request needs a host and a path, and brings no query."""
    assert request_key(raw) is None


@pytest.mark.parametrize(
    "url", ["ftp://h/x", "file:///x", "//h/x", "x", "", "javascript:x", "http:/h/x"]
)
def test_file_key__not_http(url: str) -> None:
    """Only http and https are fetched."""
    assert file_key(url) is None
    assert link_path(url) == ""


@pytest.mark.parametrize("letter", ["a", "%20", "é"])
def test_file_key__long_path(letter: str) -> None:
    """A canonical path of up to 2,048 bytes has a key, a longer one has none."""
    unit = len(file_key(f"http://h/{letter}") or "") - len("h/")
    fits = letter * (2047 // unit)
    assert file_key(f"http://h/{fits}") is not None
    assert file_key(f"http://h/{fits}{letter}") is None
    assert place(f"http://h/{fits}{letter}") is None
    assert request_key(link_path(f"http://h/{fits}{letter}")) is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h/p/a+b!~%2B.whl", "h/p/a+b!~%2B.whl"),
        ("https://h:8080/p/a.whl?sig=1", "h:8080/p/a.whl"),
        ("https://h/p/a b<é>.whl", "h/p/a%20b%3C%C3%A9%3E.whl"),
        ("https://h/%zz", "h/%25zz"),
        ("https://u:p@h/a", "h/a"),
        ("http://[::1]:80/a", "%5B::1%5D:80/a"),
    ],
)
def test_link_path__rule_20_28_keeps_the_spelling(url: str, expected: str) -> None:
    """Legal characters stay to the letter, others are encoded, and no query is left."""
    assert link_path(url) == expected


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://u:p@h/a?sig=x%2F&y=é z#f", "https://h/a?sig=x%2F&y=%C3%A9%20z"),
        ("HTTPS://h/a b.whl", "https://h/a%20b.whl"),
        ("https://h/a%2Bb.whl", "https://h/a%2Bb.whl"),
        ("https://h/a.whl?", "https://h/a.whl?"),
    ],
)
def test_place__what_is_fetched(url: str, kept: str) -> None:
    """Upstream's own spelling and query are what is asked for, without userinfo and fragment."""
    placed = place(url)
    assert placed is not None
    assert placed[0] == kept


def test_place__control_character_in_the_query() -> None:
    """A URL that could split a request head is not kept."""
    assert place("https://h/a?x\r\ny") is None


BASE = "https://up.example/root/simple/foo/"
HREFS = [
    "x.whl", "../x.whl", "../../p/q/x.whl", "../../../../../x.whl", "/p/x.whl", "//other/p/x.whl",
    "./x.whl", "../../p/../x.whl", "a//b.whl", "?C=N", "#f", "", "x.whl#sha256=00", "x.whl?y=../z",
    "http://o/x.whl", "foo:x", "../..", "p/.hidden.whl", "a b.whl",
]  # fmt: skip


@pytest.mark.parametrize("href", HREFS)
@pytest.mark.parametrize("base", [BASE, BASE + "index.html", "https://up.example", BASE + "?x=/y/"])
def test_links__rule_27_resolve_as_urljoin(base: str, href: str) -> None:
    """Links are resolved as RFC 3986 says, the quick way too, twice the same."""
    links = Links(base)
    assert links.resolve(href) == urljoin(base, href)
    assert links.resolve(href) == urljoin(base, href)


@pytest.mark.parametrize("href", ["a\nb.whl", "\x00", "http://[::1/x", "//[/x"])
def test_links__unusable(href: str) -> None:
    """Control characters and broken authorities never become another URL."""
    resolved = Links(BASE).resolve(href)
    assert resolved is None or place(resolved) is None


@pytest.mark.parametrize("base", [BASE, BASE + "index.html", "https://up.example", BASE + "?x=/y/"])
@pytest.mark.parametrize("first", ["../x.whl", "../../p/q/x.whl", "../h:80/x.whl"])
def test_links__rule_27_climbed_as_resolved(base: str, first: str) -> None:
    """Links judged together are what each is by itself, or are not judged together."""
    met = 0
    for href in [
        *HREFS,
        "../h:80/y.whl",
        "../a;b.whl",
        "../../h/p/y.whl",
        "../.",
        "../a/.",
        "../a/",
    ]:
        links = Links(base)
        hrefs = [first, href, first.replace("x", "z")]
        together = links.climbed(hrefs)
        if plain_keys(together) is not None:
            assert together == [links.resolve(one) for one in hrefs]
            met += 1
    assert met >= 2
    assert Links(base).climbed(["x.whl"]) == Links(base).climbed([]) == []
