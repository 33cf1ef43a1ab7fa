"""File names of every age and make: they lead to the page that lists them, and to its bytes."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.fake import FakeUpstream
from tests.harness import Running, running
from tests.odd.client import assert_file, assert_files, html_page, json_page, link, links
from tests.odd.rows import STYLES, Style, row, serve_page

LEGACY = [
    "old.name-1.0.tar.gz",
    "Old_Name-1.0.zip",
    "old-name-1.0.tar.bz2",
    "old-name-1.0.tgz",
    "old_name-1.0.tar.Z",
    "old-name-1.0.tar.xz",
    "old_name-1.0-py2.7.egg",
    "old-name-1.0.win32-py2.7.exe",
    "old-name-1.0.win-amd64.msi",
    "old-name-1.0-1.noarch.rpm",
    "python-old-name_1.0-1_all.deb",
    "old-name-1.0.linux-x86_64.tar.gz",
    "old-name-1.0-py2.7-macosx-10.6.dmg",
]
# Name, and how upstream's link spells it.
SPELLED = [
    ("spelled-1.0+cu121.tar.gz", "spelled-1.0+cu121.tar.gz"),
    ("spelled-1.0+cu121.tar.gz", "spelled-1.0%2Bcu121.tar.gz"),
    ("spelled-1.0+cu121.tar.gz", "spelled-1.0%2bcu121.tar.gz"),
    ("spelled-1!1.0.tar.gz", "spelled-1!1.0.tar.gz"),
    ("spelled-1!1.0.tar.gz", "spelled-1%211.0.tar.gz"),
    ("spelled-1.0~rc1.tar.gz", "spelled-1.0~rc1.tar.gz"),
    ("spelled-1.0~rc1.tar.gz", "spelled-1.0%7erc1.tar.gz"),
    ("spelled-1.0 final.tar.gz", "spelled-1.0%20final.tar.gz"),
    ("spelled-1.0 final.tar.gz", "spelled-1.0 final.tar.gz"),
    ("spelled-1.0.tar.gz", "spelled%2D1%2E0.tar.gz"),
    ("spelled-1.0,2;3=4@5:6.tar.gz", "spelled-1.0,2;3=4@5:6.tar.gz"),
    ("spelled-1.0 [a] {b}|^.tar.gz", "spelled-1.0 [a] {b}|^.tar.gz"),
    ("spelled-1.0_é.tar.gz", "spelled-1.0_é.tar.gz"),
    ("spelled-1.0_é.tar.gz", "spelled-1.0_%C3%A9.tar.gz"),
    ("spelled-100%.tar.gz", "spelled-100%25.tar.gz"),
    ("spelled-1.0&amp;.tar.gz", "spelled-1.0&amp;.tar.gz"),
    ("spelled-1.0'(x)*$.tar.gz", "spelled-1.0'(x)*$.tar.gz"),
    ("spelled-1.0?#.tar.gz", "spelled-1.0%3F%23.tar.gz"),
]
FOREIGN = [
    "another-1.0.tar.gz",
    "prefix-old-name-1.0.tar.gz",
    "oldname-1.0.tar.gz",
    "build.zip",
    "v1.0.tar.gz",
    "-.tar.gz",
    "1.0-py3-none-any.whl",
    "ünïcode-1.0.tar.gz",
]


def publish(
    upstream: FakeUpstream, project: str, names: list[str], style: Style = "json"
) -> list[bytes]:
    """Publish files of these names on one page; return their bytes, all different."""
    bodies = [f"{number} {name}".encode() for number, name in enumerate(names)]
    rows = []
    for name, body in zip(names, bodies, strict=True):
        upstream.serve(f"/f/{project}/{name}", body, "application/octet-stream")
        rows.append(row(name, f"/f/{project}/{quote(name)}"))
    serve_page(upstream, project, rows, style)
    return bodies


@pytest.mark.parametrize("style", STYLES)
async def test_name__legacy_suffixes(tmp_path: Path, upstream: FakeUpstream, style: Style) -> None:
    """Eggs, installers, rpm and tar files of every packing are rows like any other."""
    bodies = publish(upstream, "old-name", LEGACY, style)
    async with running(tmp_path, upstream.url) as daemon:
        rows = (await json_page(daemon, "old-name"))["files"]
        assert rows == [
            row(name, link(f"{upstream.pages_origin}/f/old-name/{name}")) for name in LEGACY
        ]
        assert [a.text for a in (await html_page(daemon, "old-name")).anchors] == LEGACY
        await assert_files(daemon, "old-name", bodies, upstream)


@pytest.mark.parametrize(("odd", "claimed"), [([], "1.1"), (["python-old-name_1.0.deb"], "1.0")])
async def test_name__rule_14_versions_of_legacy_names(
    tmp_path: Path, upstream: FakeUpstream, odd: list[str], claimed: str
) -> None:
    """Old names tell their version, so 1.1 is claimed; one that does not tell takes it away."""
    names = [name for name in LEGACY if not name.endswith(".deb")] + odd
    rows = [row(name, f"/f/{name}") | {"size": 1} for name in names]
    serve_page(upstream, "old-name", rows, "json", members={"versions": ["1.0", "0.9"]})
    async with running(tmp_path, upstream.url) as daemon:
        page = await json_page(daemon, "old-name")
        assert page["meta"] == {"api-version": claimed}
        assert page.get("versions") == (["1.0"] if claimed == "1.1" else None)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("name", "spelled"), SPELLED)
async def test_name__rule_28_every_spelling(
    tmp_path: Path, upstream: FakeUpstream, name: str, spelled: str, style: Style
) -> None:
    """Upstream is asked as its page spells it, clients get an equal link and the whole name."""
    upstream.serve(f"/f/{name}", b"bytes of it", "application/octet-stream")
    serve_page(upstream, "spelled", [row(name, f"/f/{spelled}")], style)
    async with running(tmp_path, upstream.url) as daemon:
        (told,) = (await json_page(daemon, "spelled"))["files"]
        assert told["filename"] == name
        (target,) = await links(daemon, "spelled")
        await assert_file(daemon, target, b"bytes of it")
        # What no URL may hold is encoded, and nothing else is touched.
        asked = [r.raw_path for r in upstream.requests if r.path == f"/f/{name}"]
        assert asked == ["/f/" + quote(spelled, safe="%!$&'()*+,;=:@~")]
        assert target.endswith(asked[0])


@pytest.mark.parametrize("style", STYLES)
async def test_name__foreign_names(tmp_path: Path, upstream: FakeUpstream, style: Style) -> None:
    """A file whose name does not tell its project is found, also by a daemon that never saw it."""
    bodies = publish(upstream, "old-name", FOREIGN, style)
    async with running(tmp_path, upstream.url) as daemon:
        targets = await links(daemon, "old-name")
        assert len(targets) == len(FOREIGN)
    async with running(tmp_path, upstream.url) as daemon:
        for target, body in zip(targets, bodies, strict=True):
            await assert_file(daemon, target, body, upstream)


async def test_name__foreign_wheel_has_a_sidecar(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A page may list a wheel of another project, and its sidecar is asked of that page, too."""
    publish(upstream, "bundle", ["another-1.0-py3-none-any.whl"])
    sidecar = b"Metadata-Version: 2.1\nName: another\nVersion: 1.0\n"
    rows = [row("another-1.0-py3-none-any.whl", "/f/bundle/another-1.0-py3-none-any.whl")]
    rows[0]["core-metadata"] = True
    serve_page(upstream, "bundle", rows, "json")
    upstream.serve("/f/bundle/another-1.0-py3-none-any.whl.metadata", sidecar, "text/plain")
    async with running(tmp_path, upstream.url) as daemon:
        (target,) = await links(daemon, "bundle")
        await assert_file(daemon, f"{target}.metadata", sidecar, upstream)


async def test_name__only_in_the_query(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Of files that differ only in their query the first is listed, and its query is sent."""
    rows = [row(f"queried-{v}.tar.gz", f"/get?file=queried-{v}.tar.gz") for v in ("1.0", "2.0")]
    serve_page(upstream, "queried", rows, "json")
    upstream.serve("/get", b"bytes of 1.0")
    async with running(tmp_path, upstream.url) as daemon:
        assert await links(daemon, "queried") == [target_of(upstream, "/get")]
        await assert_file(daemon, target_of(upstream, "/get"), b"bytes of 1.0")
        assert [r.raw_path for r in upstream.requests][1:] == ["/get?file=queried-1.0.tar.gz"]


# ── names with two readings ──────────────────────────────────────────────────────────────────

BOTH = "foo-bar-1.0.tar.gz"


def target_of(upstream: FakeUpstream, path: str) -> str:
    return "/files/pypi/" + upstream.pages_origin.removeprefix("http://") + path


@pytest.fixture
def twins(upstream: FakeUpstream) -> FakeUpstream:
    """`foo` has a version `bar-1.0`, and `foo-bar` a version `1.0`: their sdists have one name."""
    publish(upstream, "foo", [BOTH])
    publish(upstream, "foo-bar", [BOTH])
    upstream.serve(f"/f/foo/{BOTH}", b"of foo")
    upstream.serve(f"/f/foo-bar/{BOTH}", b"of foo-bar")
    return upstream


async def test_name__two_readings(tmp_path: Path, twins: FakeUpstream) -> None:
    """A name that fits two projects leads to the page that lists the very URL."""
    async with running(tmp_path, twins.url) as daemon:
        await assert_file(daemon, target_of(twins, f"/f/foo/{BOTH}"), b"of foo", twins)
        await assert_file(daemon, target_of(twins, f"/f/foo-bar/{BOTH}"), b"of foo-bar", twins)


async def status_of(daemon: Running, upstream: FakeUpstream, path: str) -> int:
    return (await daemon.ask(target_of(upstream, path))).status


async def test_name__two_readings_one_project_unknown(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """If upstream has no project of the first reading, the second one counts."""
    publish(upstream, "foo", [BOTH])
    async with running(tmp_path, upstream.url) as daemon:
        assert await status_of(daemon, upstream, f"/f/foo/{BOTH}") == 200
        assert await status_of(daemon, upstream, f"/f/other/{BOTH}") == 404


async def test_name__two_readings_one_page_down(tmp_path: Path, twins: FakeUpstream) -> None:
    """A page that fails hides no file of the other one; what it may list is not called absent."""
    twins.fault("/simple/foo-bar/", "status", code=500)
    async with running(tmp_path, twins.url) as daemon:
        assert await status_of(daemon, twins, f"/f/foo/{BOTH}") == 200
        assert await status_of(daemon, twins, f"/f/foo-bar/{BOTH}") in (502, 503)
