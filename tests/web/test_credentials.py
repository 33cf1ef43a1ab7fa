"""Whom credentials are shown: their own origin, and nobody else, by any way there is (rule 62)."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from bench.rehearsal.tls import Certificates
from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Running, running, write_config
from tests.network import PUBLIC, Network
from tests.proxy import FakeProxy
from tests.tls import TlsSite, needs_openssl

PAGE = "/simple/alpha/"
WHEEL = make_wheel("alpha", "1.0")
SECRET = "s3cret-t0ken"
BASIC = f"Basic {base64.b64encode(b'me:pr0xy').decode()}"


def shown(upstream: FakeUpstream) -> set[str | None]:
    """Return what an origin was shown; `Cookie` never is."""
    assert not any("cookie" in request.headers for request in upstream.requests)
    return {request.headers.get("authorization") for request in upstream.requests}


async def fetch(daemon: Running) -> bytes:
    """Return the bytes of the listed wheel, which must come."""
    reply = await daemon.ask(urlsplit(await daemon.file_url("alpha", WHEEL.filename)).path)
    assert reply.status == 200, reply.body
    return reply.body


# ── redirects and file hosts ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("where", ["host", "port"])
async def test_redirect__rule_62_to_another_origin(tmp_path: Path, where: str) -> None:
    """A redirect to another host or port takes no credentials along, nor a cookie that was set."""
    async with FakeUpstream(auth=SECRET) as upstream, FakeUpstream() as other:
        other.add("alpha", WHEEL)
        target = f"{other.url}alpha/"
        if where == "host":
            # The same port under another name: the pages' listener itself.
            upstream.serve("/elsewhere", b"<html><body></body></html>")
            target = f"{upstream.pages_origin.replace('127.0.0.1', 'localhost')}/elsewhere"
        headers = {"Location": target, "Set-Cookie": "session=1; Path=/"}
        upstream.fault(PAGE, "status", code=302, headers=headers)
        table: dict[str, object] = {"name": "corp", "url": upstream.url, "token": SECRET}
        async with running(tmp_path, config=write_config(tmp_path, table)) as daemon:
            await daemon.ask(PAGE, Accept=JSON)
        asked = [*upstream.requests, *other.requests]
    assert [request.headers.get("authorization") for request in asked] == [f"Bearer {SECRET}", None]
    assert not any("cookie" in request.headers for request in asked)


async def test_redirect__rule_62_and_back(tmp_path: Path) -> None:
    """A redirect that leads away and back again is shown credentials at its own origin only."""
    async with FakeUpstream(auth=SECRET) as upstream, FakeUpstream() as other:
        upstream.add("alpha", WHEEL)
        upstream.fault(PAGE, "status", 1, code=302, headers={"Location": f"{other.url}alpha/"})
        other.redirect(PAGE, f"{upstream.url}alpha/")
        table: dict[str, object] = {"name": "corp", "url": upstream.url, "token": SECRET}
        async with running(tmp_path, config=write_config(tmp_path, table)) as daemon:
            await daemon.page("alpha")
        assert shown(upstream) == {f"Bearer {SECRET}"}
        assert shown(other) == {None}


async def test_redirect__rule_62_with_credentials_in_it(tmp_path: Path) -> None:
    """Credentials that an upstream writes into a redirect or a link are not used."""
    async with FakeUpstream() as upstream, FakeUpstream() as other:
        other.add("alpha", WHEEL)
        upstream.redirect(PAGE, f"{other.url}alpha/".replace("//", "//me:pw@", 1))
        other.add(
            "alpha",
            urls={WHEEL.filename: other.url_of(WHEEL).replace("//", "//me:pw@", 1)},
        )
        async with running(tmp_path, upstream.url) as daemon:
            assert await fetch(daemon) == WHEEL.body
        assert shown(other) == {None}


# ── netrc ────────────────────────────────────────────────────────────────────────────────────


async def test_netrc__rule_62_own_origin_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry of `~/.netrc` is for the index, and for no file host, even one with an entry."""
    netrc = (
        "machine localhost login me password index-pw\n"
        "machine 127.0.0.1 login me password files-pw\n"
        "default login me password default-pw\n"
    )
    (tmp_path / ".netrc").write_text(netrc)
    # The HTTP client would find it by itself, and give it to every host that has an entry.
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    async with FakeUpstream(auth=("me", "index-pw")) as upstream:
        upstream.add("alpha", WHEEL)
        url = upstream.url.replace("127.0.0.1", "localhost")
        config = write_config(tmp_path, {"name": "corp", "url": url})
        async with running(tmp_path, config=config) as daemon:
            assert await fetch(daemon) == WHEEL.body
        told = {asked.origin: asked.headers.get("authorization") for asked in upstream.requests}
    basic = f"Basic {base64.b64encode(b'me:index-pw').decode()}"
    assert told == {"pages": basic, "files": None}


async def test_netrc__rule_62_settings_win(tmp_path: Path) -> None:
    """An index with credentials of its own is not asked with those of `~/.netrc`."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password netrc-pw\n")
    async with FakeUpstream(auth=SECRET) as upstream:
        upstream.add("alpha", WHEEL)
        table: dict[str, object] = {"name": "corp", "url": upstream.url, "token": SECRET}
        async with running(tmp_path, config=write_config(tmp_path, table)) as daemon:
            await daemon.page("alpha")
        assert shown(upstream) == {f"Bearer {SECRET}"}


async def test_netrc__password_changed(tmp_path: Path) -> None:
    """After a 401 the file is read again, before that counts as a failure."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password old\n")
    async with FakeUpstream(auth=("me", "new")) as upstream:
        upstream.add("alpha", WHEEL)
        async with running(tmp_path, upstream.url) as daemon:
            netrc.write_text("machine 127.0.0.1 login me password new\n")
            await daemon.page("alpha")
        assert len(upstream.requests) == 2


# ── proxies ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("by", ["setting", "environment"])
async def test_proxy__rule_62_in_clear(tmp_path: Path, upstream: FakeUpstream, by: str) -> None:
    """Pages and files go through the proxy, which alone is shown its own credentials."""
    upstream.add("alpha", WHEEL)
    async with FakeProxy() as proxy:
        address = f"http://me:pr0xy@{proxy.address}"
        table: dict[str, object] = {"name": "corp", "url": upstream.url, "token": SECRET}
        environment = {"HTTP_PROXY": address} if by == "environment" else {}
        table |= {"proxy": address} if by == "setting" else {}
        config = write_config(tmp_path, table)
        async with running(tmp_path, config=config, environment=environment) as daemon:
            assert await fetch(daemon) == WHEEL.body
    assert [asked.target for asked in proxy.requests] == [
        f"{upstream.url}alpha/",
        upstream.url_of(WHEEL),
    ]
    assert {asked.headers.get("proxy-authorization") for asked in proxy.requests} == {BASIC}
    assert [asked.headers.get("authorization") for asked in upstream.requests] == [
        f"Bearer {SECRET}",
        None,
    ]
    assert not any("proxy-authorization" in asked.headers for asked in upstream.requests)


@pytest.mark.parametrize("how", ["off", "exempt"])
async def test_proxy__asked_directly(tmp_path: Path, upstream: FakeUpstream, how: str) -> None:
    """`proxy = "off"`, or NO_PROXY: the environment's proxy is not asked."""
    upstream.add("alpha", WHEEL)
    async with FakeProxy() as proxy:
        environment = {"http_proxy": proxy.address}
        table: dict[str, object] = {"name": "corp", "url": upstream.url}
        if how == "off":
            table["proxy"] = "off"
        else:
            environment["NO_PROXY"] = "127.0.0.0/8"
        config = write_config(tmp_path, table)
        async with running(tmp_path, config=config, environment=environment) as daemon:
            assert await fetch(daemon) == WHEEL.body
    assert proxy.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "169.254.169.254"])
async def test_proxy__rule_62_literal_addresses(
    tmp_path: Path, upstream: FakeUpstream, network: Network, host: str
) -> None:
    """What a proxy is asked for is judged as far as a URL tells; the proxy itself is not."""
    port = urlsplit(upstream.url).port
    upstream.add("alpha", WHEEL, urls={WHEEL.filename: f"http://{host}:{port}/{WHEEL.filename}"})
    network.names["index.vendor.net"] = PUBLIC
    async with FakeProxy() as proxy:
        url = f"http://index.vendor.net:{port}/simple/"
        table: dict[str, object] = {"name": "v", "url": url, "proxy": f"http://{proxy.address}"}
        async with running(tmp_path, config=write_config(tmp_path, table)) as daemon:
            path = urlsplit(await daemon.file_url("alpha", WHEEL.filename)).path
            reply = await daemon.ask(path)
    assert (reply.status, "allow_addresses" in reply.text) == (502, True)
    assert [asked.target for asked in proxy.requests] == [f"{url}alpha/"]


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────

LISTING = f'<html><body><a href="{{}}#sha256={WHEEL.sha256}">{WHEEL.filename}</a></body></html>'


@needs_openssl
async def test_certificate__rule_62_own_origin_only(tmp_path: Path) -> None:
    """The client certificate is shown to the index, not to a file host that asks for it, too."""
    certificates = Certificates(tmp_path / "tls")
    async with TlsSite(certificates).running() as index, TlsSite(certificates).running() as files:
        body = LISTING.format(f"{files.origin}/f/{WHEEL.filename}").encode()
        index.say(PAGE, "HTTP/1.1 200 OK", "Content-Type: text/html", body=body)
        files.say(f"/f/{WHEEL.filename}", "HTTP/1.1 200 OK", body=WHEEL.body)
        table: dict[str, object] = {
            "name": "corp",
            "url": f"{index.origin}/simple/",
            "ca_file": str(certificates.authority),
            "client_cert": str(certificates.valid),
            "client_key": str(certificates.key),
        }
        async with running(tmp_path, config=write_config(tmp_path, table)) as daemon:
            assert await fetch(daemon) == WHEEL.body
    assert (index.certified, files.certified) == ([True], [False])


@needs_openssl
async def test_redirect__rule_62_to_another_scheme(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A redirect from https to http takes no credentials along."""
    certificates = Certificates(tmp_path / "tls")
    upstream.add("alpha", WHEEL)
    async with TlsSite(certificates).running() as index:
        index.say(PAGE, "HTTP/1.1 302 Found", f"Location: {upstream.url}alpha/")
        table: dict[str, object] = {
            "name": "corp",
            "url": f"{index.origin}/simple/",
            "ca_file": str(certificates.authority),
            "token": SECRET,
        }
        async with running(tmp_path, config=write_config(tmp_path, table)) as daemon:
            await daemon.page("alpha")
    assert f"Authorization: Bearer {SECRET}" in index.heads[0]
    assert shown(upstream) == {None}


@needs_openssl
async def test_proxy__rule_62_tunnel(tmp_path: Path) -> None:
    """Through a tunnel the index is shown its own credentials, the proxy only the proxy's."""
    certificates = Certificates(tmp_path / "tls")
    async with TlsSite(certificates).running() as index, FakeProxy() as proxy:
        index.say(PAGE, "HTTP/1.1 200 OK", "Content-Type: text/html", body=LISTING.encode())
        table: dict[str, object] = {
            "name": "corp",
            "url": f"{index.origin}/simple/",
            "ca_file": str(certificates.authority),
            "token": SECRET,
            "proxy": f"http://me:pr0xy@{proxy.address}",
        }
        async with running(tmp_path, config=write_config(tmp_path, table)) as daemon:
            await daemon.page("alpha")
    (asked,) = proxy.requests
    assert (asked.method, asked.target) == ("CONNECT", urlsplit(index.origin).netloc)
    assert asked.headers["proxy-authorization"] == BASIC
    assert "authorization" not in asked.headers
    assert f"Authorization: Bearer {SECRET}" in index.heads[0]
    assert "proxy-" not in index.heads[0].lower()


async def test_certificate__unusable(tmp_path: Path) -> None:
    """A certificate file that is none stops the start with a sentence."""
    from pypicached.errors import SettingsError  # noqa: PLC0415 - only here

    (tmp_path / "cert.pem").write_text("no certificate")
    table: dict[str, object] = {
        "name": "corp",
        "url": "https://127.0.0.1:9/simple/",
        "client_cert": str(tmp_path / "cert.pem"),
    }
    with pytest.raises(SettingsError, match=r"index.corp.client_cert: .*it is no PEM file"):
        async with running(tmp_path, config=write_config(tmp_path, table)):
            pass


# ── deadlines of one index ───────────────────────────────────────────────────────────────────


async def test_deadlines__page_and_file_apart(tmp_path: Path, upstream: FakeUpstream) -> None:
    """An index's own deadlines decide, for pages and for a file's first byte apart."""
    upstream.add("alpha", WHEEL)
    table: dict[str, object] = {
        "name": "slow",
        "url": upstream.url,
        "cold_deadline": "30s",
        "file_deadline": 0.2,
    }
    async with running(
        tmp_path, config=write_config(tmp_path, table), cache__cold_deadline="0.1s"
    ) as daemon:
        gate = upstream.hold(PAGE)
        asked = asyncio.ensure_future(daemon.page("alpha"))
        await gate.reached()
        done, _ = await asyncio.wait([asked], timeout=0.3)
        assert not done  # the general deadline has passed
        gate.open()
        await asked
        held = upstream.hold("*.whl")
        path = urljoin(PAGE, urlsplit(await daemon.file_url("alpha", WHEEL.filename)).path)
        assert (await daemon.ask(path)).status == 503
        held.open()
