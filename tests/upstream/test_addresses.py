"""Which kind of place an address is, in every form and spelling (rule 62)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypicached.upstream.addresses import (
    is_inside,
    is_localhost,
    kind_of,
    literal,
    meanings,
)

KINDS = {
    "public": "8.8.8.8 1.1.1.1 172.15.0.1 172.32.0.1 100.63.0.1 100.128.0.1 192.167.1.1 198.17.1.1 "
    "169.253.1.1 223.255.255.255 2606:4700::1 2a00::1 2400::1",
    "private": "10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 fc00::1 fd12::1 "
    "fec0::1 64:ff9b:1::a00:1",
    "shared": "100.64.0.1 100.127.255.255 198.18.0.1 198.19.255.255",
    "loopback": "127.0.0.1 127.255.255.254 ::1",
    "link-local": "169.254.0.1 169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 "
    "192.0.0.192 fe80::1 febf::1 fd00:ec2::254 fd20:ce::254",
    "documentation": "192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 3fff::1",
    "reserved": "0.0.0.0 0.1.2.3 192.0.0.1 192.88.99.1 "
    "224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 :: 100::1 ff02::1 "
    "4000::1 2001:1::1 5f00::1",
}


@pytest.mark.parametrize(
    ("text", "kind"), [(text, kind) for kind, texts in KINDS.items() for text in texts.split()]
)
def test_kind__rule_62(text: str, kind: str) -> None:
    """Each special block, at its edges, is what the registries of RFC 6890 say."""
    assert kind_of(ip_address(text)) == kind


@pytest.mark.parametrize(
    ("text", "stands_for"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("2606:4700::1", ["2606:4700::1"]),
        ("::1", ["::1"]),
        ("::", ["::"]),
        ("::ffff:127.0.0.1", ["127.0.0.1"]),
        ("::127.0.0.1", ["127.0.0.1"]),
        ("::ffff:0:127.0.0.1", ["127.0.0.1"]),
        ("64:ff9b::169.254.169.254", ["169.254.169.254"]),
        ("2002:7f00:1::1", ["127.0.0.1"]),
        ("2001:0:0a00:1:0:0:80ff:fffe", ["10.0.0.1", "127.0.0.1"]),
        ("2a00::5efe:10.0.0.1", ["2a00::5efe:a00:1", "10.0.0.1"]),
        ("2a00::200:5efe:10.0.0.1", ["2a00::200:5efe:a00:1", "10.0.0.1"]),
    ],
)
def test_meanings__rule_62_embedded(text: str, stands_for: list[str]) -> None:
    """IPv6 that leads to an IPv4 address is judged by that one: mapped, NAT64, 6to4, Teredo."""
    assert list(meanings(ip_address(text))) == [ip_address(one) for one in stands_for]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0x7F.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("①②⑦.⓪.⓪.①", "127.0.0.1"),
        ("127。0。0。1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("::1%lo", "::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
        ("a.b", None),
        ("1.2.3.4.5", None),
        ("0xg", None),
        ("4294967296", None),
        ("08", None),
        ("", None),
        ("127.0.0.1.example", None),
    ],
)
def test_literal__rule_62_odd_spellings(host: str, address: str | None) -> None:
    """A host is an address in every spelling that a C library would take for one."""
    assert literal(host) == (None if address is None else ip_address(address))


@given(st.ip_addresses())
def test_literal__any_address(address: IPv4Address | IPv6Address) -> None:
    """Every address is a literal of itself, has a kind, and so has all that it may stand for."""
    assert literal(str(address)) == address
    assert [kind_of(one) for one in meanings(address)]


@given(st.text())
def test_literal__any_text(text: str) -> None:
    """Whatever upstream writes for a host is an address or none, and never an exception."""
    literal(text)
    is_inside(text)
    is_localhost(text)


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("localhost", True),
        ("buildhost", True),
        ("Buildhost.", True),
        ("host.docker.internal", True),
        ("nexus.local", True),
        ("nas.home.arpa", True),
        ("index.corp", True),
        ("localhost.attacker.net", False),
        ("internal.attacker.net", False),
        ("index.vendor.net", False),
        ("home.arpa.attacker.net", False),
    ],
)
def test_inside__names_that_no_public_server_answers(host: str, inside: bool) -> None:
    """Only names that nobody outside can answer for count as known inside."""
    assert is_inside(host) == inside
