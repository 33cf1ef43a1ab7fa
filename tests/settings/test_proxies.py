"""Proxies: an index's own, those of the environment, and what is shown of them."""

from __future__ import annotations

import json

import pytest

from pypicached.settings import ProxyUrl, Secret, rows, spell_toml

from .conftest import Load, Refuse

URL = "https://index.vendor.net/simple/"
PASSWORD = "correct-horse"


def table(**keys: object) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in ({"url": URL} | keys).items()]
    return "\n".join(["[[index]]", 'name = "acme"', *lines, ""])


@pytest.mark.parametrize(
    ("given", "proxy"),
    [
        ("http://p.example:3128", ProxyUrl("http://p.example:3128")),
        ("http://p.example:3128/", ProxyUrl("http://p.example:3128")),
        ("p.example:3128", ProxyUrl("http://p.example:3128")),
        ("http://p.example", ProxyUrl("http://p.example")),
        ("http://[::1]:3128", ProxyUrl("http://[::1]:3128")),
        (
            f"http://me%40x:{PASSWORD}%3A@p.example:3128",
            ProxyUrl("http://p.example:3128", "me@x", Secret(f"{PASSWORD}:")),
        ),
        ("off", "off"),
    ],
)
def test_proxy__given(read: Load, given: str, proxy: object) -> None:
    """A proxy is an HTTP proxy's address; its credentials are taken out at once."""
    assert read(table(proxy=given)).settings.indexes[0].proxy == proxy


@pytest.mark.parametrize(
    "given",
    [
        "",
        "https://p.example:3128",
        "socks5://p.example",
        "http://p.example/path",
        "http://p.example?q",
        "http://p.example:port",
        f"http://:{PASSWORD}@p.example",
        f"http://me:{PASSWORD}\n@p.example",
        [f"http://me:{PASSWORD}@p.example"],
        f"ftp://me:{PASSWORD}@p.example",
    ],
)
def test_proxy__refused(refuse: Refuse, given: object) -> None:
    """Anything else is refused, without a word of what may be a password."""
    found = refuse(table(proxy=given))
    assert list(found) == ["index.acme.proxy"]
    assert PASSWORD not in str(found)


def test_proxy__shown_without_credentials(read: Load) -> None:
    """`config show` tells an index's own proxy with asterisks for its credentials."""
    loaded = read(table(proxy=f"http://me:{PASSWORD}@p.example:3128"))
    shown = spell_toml(rows(loaded))
    assert 'proxy = "http://********@p.example:3128"' in shown
    assert [text for text in (shown, repr(loaded), f"{loaded.settings}") if PASSWORD in text] == []


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"HTTPS_PROXY": "http://p.example:1"}, ("http://p.example:1", "HTTPS_PROXY")),
        (
            {"HTTPS_PROXY": "http://p.example:1", "https_proxy": "q.example:2"},
            ("http://q.example:2", "https_proxy"),
        ),
        ({"HTTP_PROXY": "http://p.example:1"}, None),
        ({"HTTPS_PROXY": "http://p.example:1", "NO_PROXY": ".vendor.net"}, None),
        (
            {"HTTPS_PROXY": "http://p.example:1", "no_proxy": "other"},
            ("http://p.example:1", "HTTPS_PROXY"),
        ),
    ],
)
def test_proxy__environment(read: Load, env: dict[str, str], told: tuple[str, str] | None) -> None:
    """Without a `proxy`, the environment's counts, and `config show` says which variable."""
    found = {row.key: row for row in rows(read(table(), env))}
    row = found.get("index.acme.proxy")
    assert told == (None if row is None else (row.value, row.source.removeprefix("environment ")))


def test_proxy__own_wins(read: Load) -> None:
    """An index's own `proxy`, "off" too, stands instead of the environment's."""
    loaded = read(table(proxy="off"), {"HTTPS_PROXY": "http://p.example:1"})
    row = next(row for row in rows(loaded) if row.key == "index.acme.proxy")
    assert (row.value, row.source.split()[0]) == ("off", "file")


def test_proxy__unusable_variable(read: Load) -> None:
    """A proxy in the environment that cannot be used is a warning, without its password."""
    env = {"HTTPS_PROXY": f"socks5://me:{PASSWORD}@p.example"}
    loaded = read(table(), env)
    assert "HTTPS_PROXY is ignored" in loaded.warnings[0]
    assert PASSWORD not in str(loaded.warnings)
