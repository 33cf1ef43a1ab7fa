"""What a project page says, from JSON and HTML upstreams alike (CONFORMANCE.md rules 1 to 28)."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any
from urllib.parse import urljoin

import pytest
from selectolax.lexbor import LexborHTMLParser

from tests.fake import FakeUpstream, make_sdist, make_wheel
from tests.harness import JSON, Running

PAGE = "/simple/alpha/"
WHEEL = make_wheel("alpha", "1.0", requires_python=">=3.8,<4")
SDIST = make_sdist("alpha", "1.1", yanked='broken <on> "3.12"')


async def rows(daemon: Running, project: str = "alpha") -> list[dict[str, Any]]:
    files = (await daemon.page(project))["files"]
    assert isinstance(files, list)
    return files


async def row(daemon: Running) -> dict[str, Any]:
    (only,) = await rows(daemon)
    return only


async def anchors(daemon: Running, path: str = PAGE) -> dict[str, dict[str, str | None]]:
    """Return the attributes of each link of a page by its text, as a browser reads it."""
    reply = await daemon.ask(path, Accept="text/html")
    assert reply.status == 200, reply.text
    return {node.text(): node.attributes for node in LexborHTMLParser(reply.text).css("a")}


def speak(upstream: FakeUpstream, **dialect: Any) -> None:
    for name, value in dialect.items():
        setattr(upstream.dialect, name, value)


# ── what it claims ───────────────────────────────────────────────────────────────────────────


async def test_page__rule_01_three_types(daemon: Running, upstream: FakeUpstream) -> None:
    """A normalized name answers 200 in each of the three types, with the files of upstream."""
    upstream.add("alpha", WHEEL, SDIST)
    html = "application/vnd.pypi.simple.v1+html"
    for accept, told in ((JSON, JSON), (html, html), ("text/html", "text/html; charset=utf-8")):
        reply = await daemon.ask(PAGE, Accept=accept)
        assert (reply.status, reply.headers["Content-Type"]) == (200, told)
        assert WHEEL.filename in reply.text
        assert SDIST.filename in reply.text


@pytest.mark.parametrize(("theirs", "ours"), [("1.0", "1.0"), ("1.3", "1.3"), ("1.7", "1.4")])
async def test_page__rule_12_version_that_it_carries(
    daemon: Running, upstream: FakeUpstream, theirs: str, ours: str
) -> None:
    """The API version is upstream's, but never above 1.4, in both formats."""
    speak(upstream, api_version=theirs)
    upstream.add("alpha", WHEEL)
    assert (await daemon.page("alpha"))["meta"] == {"api-version": ours}
    reply = await daemon.ask(PAGE, Accept="text/html")
    assert f'<meta name="pypi:repository-version" content="{ours}">' in reply.text


async def test_page__rule_14_incomplete_page_is_1_0(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """A page with one file of unknown size claims 1.0 and lists no versions, but keeps the rest."""
    upstream.add("alpha", WHEEL, SDIST, rows={WHEEL.filename: {"size": None}})
    page = await daemon.page("alpha")
    assert page["meta"] == {"api-version": "1.0"}
    assert "versions" not in page
    assert {file["filename"]: file.get("size") for file in await rows(daemon)} == {
        WHEEL.filename: None,
        SDIST.filename: len(SDIST.body),
    }


async def test_page__rule_14_versions_of_what_is_listed(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """`versions` are unique, complete, and exactly those of the listed files."""
    upstream.add("alpha", WHEEL, SDIST, members={"versions": ["0.9", "1.0", "1.0", "2.0"]})
    page = await daemon.page("alpha")
    assert page["meta"] == {"api-version": "1.4"}
    assert page["versions"] == ["1.0", "1.1"]


# ── what it says of a file ───────────────────────────────────────────────────────────────────


async def test_page__rule_15_upload_time_to_the_character(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """`upload-time` is upstream's, to the character; where there is none the key is absent."""
    times = {"1": "2024-01-02T03:04:05.678901Z", "2": "2024-01-02T03:04:05+00:00", "3": None}
    files = [make_wheel("alpha", version, upload_time=told) for version, told in times.items()]
    upstream.add("alpha", *files)
    told = {file["filename"]: file.get("upload-time") for file in await rows(daemon)}
    assert told == {file.filename: file.upload_time for file in files}


async def test_page__rule_16_every_hash_is_kept(daemon: Running, upstream: FakeUpstream) -> None:
    """Every upstream hash is kept; in HTML the fragment carries sha256, or else the best one."""
    blake = hashlib.blake2b(WHEEL.body, digest_size=32).hexdigest()
    md5 = "0123456789abcdef" * 2
    told = {"md5": md5, "blake2b_256": blake, "sha256": WHEEL.sha256}
    others = {"md5": md5, "sha512": "ab" * 64}
    upstream.add(
        "alpha",
        WHEEL,
        SDIST,
        rows={WHEEL.filename: {"hashes": told}, SDIST.filename: {"hashes": others}},
    )
    assert [file["hashes"] for file in await rows(daemon)] == [told, others]
    links = await anchors(daemon)
    assert (links[WHEEL.filename]["href"] or "").partition("#")[2] == f"sha256={WHEEL.sha256}"
    assert (links[SDIST.filename]["href"] or "").partition("#")[2] == f"sha512={'ab' * 64}"


async def test_page__rule_16_no_hash(daemon: Running, upstream: FakeUpstream) -> None:
    """A file without a hash says `{}`, and its HTML link has no fragment."""
    speak(upstream, hashes=False)
    upstream.add("alpha", WHEEL)
    assert (await row(daemon))["hashes"] == {}
    assert "#" not in ((await anchors(daemon))[WHEEL.filename]["href"] or "")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("style", ["hash", "plain"])
async def test_page__rule_17_core_metadata(
    daemon: Running, upstream: FakeUpstream, legacy: bool, style: str
) -> None:
    """A sidecar is advertised with upstream's hash, read from either key, in HTML as both."""
    speak(upstream, sidecars=style, legacy_keys=legacy)
    upstream.add("alpha", WHEEL, SDIST)
    digest = hashlib.sha256(WHEEL.metadata or b"").hexdigest()
    told = {file["filename"]: file.get("core-metadata") for file in await rows(daemon)}
    assert told[WHEEL.filename] == ({"sha256": digest} if style == "hash" else True)
    assert not told[SDIST.filename]
    link = (await anchors(daemon))[WHEEL.filename]
    claim = f"sha256={digest}" if style == "hash" else "true"
    assert link["data-core-metadata"] == link["data-dist-info-metadata"] == claim


async def test_page__rule_20_no_query_in_file_urls(daemon: Running, upstream: FakeUpstream) -> None:
    """A link has no query; upstream is asked with the one it gave, and it is nobody else's."""
    upstream.add("alpha", WHEEL)
    signed = upstream.url_of(WHEEL) + "?signature=abc%2Fd&x=1"
    upstream.add("alpha", urls={WHEEL.filename: signed})
    url = (await row(daemon))["url"]
    assert "?" not in url
    reply = await daemon.ask(urljoin(PAGE, url))
    assert reply.body == WHEEL.body
    asked = [request.raw_path for request in upstream.requests if request.origin == "files"]
    assert asked == [signed.removeprefix(upstream.files_origin)]


@pytest.mark.parametrize("style", ["json", "html"])
async def test_page__rule_21_requires_python(
    daemon: Running, upstream: FakeUpstream, style: str
) -> None:
    """`requires-python` is kept, and escaped in HTML."""
    speak(upstream, style=style)
    upstream.add("alpha", WHEEL)
    assert (await row(daemon))["requires-python"] == ">=3.8,<4"
    text = (await daemon.ask(PAGE, Accept="text/html")).text
    assert 'data-requires-python="&gt;=3.8,&lt;4"' in text


@pytest.mark.parametrize("style", ["json", "html"])
async def test_page__rule_22_yanked_and_unyanked(
    daemon: Running, upstream: FakeUpstream, style: str
) -> None:
    """A yank is mirrored with its reason; an un-yank is seen once the TTL is over."""
    speak(upstream, style=style)
    upstream.add("alpha", SDIST, make_wheel("alpha", "2", yanked=True))
    assert [file.get("yanked") for file in await rows(daemon)] == [SDIST.yanked, True]
    assert (await anchors(daemon))[SDIST.filename]["data-yanked"] == SDIST.yanked
    upstream.add("alpha", dataclasses.replace(SDIST, yanked=False))
    daemon.clock.advance(601)
    assert [bool(file.get("yanked")) for file in await rows(daemon)] == [False, True]


async def test_page__rule_25_provenance(daemon: Running, upstream: FakeUpstream) -> None:
    """`provenance` is the absolute https URL that it was, or absent."""
    where = "https://pypi.example/integrity/alpha/1.0/provenance?a=1&b=2"
    upstream.add(
        "alpha",
        WHEEL,
        SDIST,
        rows={WHEEL.filename: {"provenance": where}, SDIST.filename: {"provenance": "../x"}},
    )
    assert [file.get("provenance") for file in await rows(daemon)] == [where, None]
    assert (await anchors(daemon))[WHEEL.filename]["data-provenance"] == where


async def test_page__rule_26_no_signature(daemon: Running, upstream: FakeUpstream) -> None:
    """`gpg-sig` is never claimed, because no `.asc` is served."""
    upstream.add("alpha", WHEEL, rows={WHEEL.filename: {"gpg-sig": True}})
    assert (await row(daemon)).get("gpg-sig") is not True
    assert "data-gpg-sig" not in (await anchors(daemon))[WHEEL.filename]
    url = urljoin(PAGE, (await row(daemon))["url"])
    assert (await daemon.ask(f"{url}.asc")).status == 404


# ── links ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("style", ["json", "html"])
async def test_page__rule_27_relative_links(
    daemon: Running, upstream: FakeUpstream, style: str
) -> None:
    """Relative links of an upstream page lead to its files."""
    speak(upstream, style=style, links="relative")
    upstream.separate_files = False
    upstream.add("alpha", WHEEL)
    assert (await daemon.ask(urljoin(PAGE, (await row(daemon))["url"]))).body == WHEEL.body


@pytest.mark.parametrize(
    ("base", "href", "path"),
    [
        ("", "../f/{}", "/moved/to/f/{}"),
        ("", "/f/{}", "/f/{}"),
        ('<base href="/up/">', "f/{}", "/up/f/{}"),
        ('<base href="../up/">', "f/{}", "/moved/to/up/f/{}"),
    ],
)
async def test_page__rule_27_relative_to_the_final_url(
    daemon: Running, upstream: FakeUpstream, base: str, href: str, path: str
) -> None:
    """Links are relative to where upstream's redirects end, or to the page's `<base>`."""
    link = f'<a href="{href.format(WHEEL.filename)}">{WHEEL.filename}</a>'
    page = f"<!DOCTYPE html><html><head>{base}</head><body>{link}</body></html>"
    upstream.redirect(PAGE, "/moved/to/alpha/")
    upstream.serve("/moved/to/alpha/", page.encode())
    upstream.serve(path.format(WHEEL.filename), WHEEL.body, "application/octet-stream")
    assert (await daemon.ask(urljoin(PAGE, (await row(daemon))["url"]))).body == WHEEL.body


@pytest.mark.parametrize("style", ["json", "html"])
async def test_page__rule_27_files_on_other_hosts(
    daemon: Running, upstream: FakeUpstream, style: str
) -> None:
    """Files on a host of their own are rewritten to us, with host and path in the link."""
    speak(upstream, style=style)
    upstream.add("alpha", WHEEL)
    url = urljoin(PAGE, (await row(daemon))["url"])
    assert url == "/files/pypi/" + upstream.url_of(WHEEL).removeprefix("http://")
    assert (await daemon.ask(url)).body == WHEEL.body


ODD_NAMES = ["alpha-1.0+cu121-py3-none-any.whl", "alpha-1!1.0.tar.gz", "alpha-1.0~a b.tar.gz"]


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_page__rule_28_odd_characters_round_trip(
    daemon: Running, upstream: FakeUpstream, name: str
) -> None:
    """`+`, `%2B`, `!`, `~` and spaces in a file's name lead to its bytes, in any spelling."""
    file = dataclasses.replace(WHEEL, filename=name)
    upstream.add("alpha", file)
    told = await row(daemon)
    assert told["filename"] == name
    url = urljoin(PAGE, told["url"])
    for spelled in {url, url.replace("%2B", "+"), url.replace("%21", "!"), url.replace("~", "%7E")}:
        assert (await daemon.ask(spelled)).body == file.body, spelled
    assert upstream.count(f"*/{name}") == 1
