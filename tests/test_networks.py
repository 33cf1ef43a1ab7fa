"""Addresses and networks: which spellings are some, and what they are compared as."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypicached.networks import Address, ends_of, pack, parse_address, parse_network, unpack


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7 ", "192.0.2.7"),
        ("192.0.2.7:49152", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:DB8::7]", "2001:db8::7"),
        ("[2001:db8::7]:49152", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("[::ffff:192.0.2.7]:1", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_address__spellings(text: str, address: str) -> None:
    """An address may bring its port, brackets, a zone, or be mapped; it is always the same."""
    assert parse_address(text) == ip_address(address)


@pytest.mark.parametrize(
    "text",
    ["", "unknown", "_hidden", "localhost", "192.0.2", "192.0.2.07", "192.0.2.7/32", "1.2.3.4:",
     "[192.0.2.7", "::1:70000:", "for=192.0.2.7", "1" * 5000, "192.0.2.7\x00", "\u0661.2.3.4"],
)  # fmt: skip
def test_address__none(text: str) -> None:
    """What is no address is none, and never an exception."""
    assert parse_address(text) is None


@given(st.text())
def test_address__any_text(text: str) -> None:
    """Whatever a header holds, what comes back is an address that reads as itself, or none."""
    address = parse_address(text)
    assert address is None or parse_address(str(address)) == address


@given(st.ip_addresses())
def test_pack__and_back(address: Address) -> None:
    """Packed and unpacked, an address is the same (a mapped one is the IPv4 address)."""
    assert unpack(pack(address)) == parse_address(str(address))


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_pack__sorts(one: Address, other: Address) -> None:
    """Packed addresses sort as the addresses do."""
    assert (pack(one) < pack(other)) == (int(one) < int(other))


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        (" 192.0.2.7 ", "192.0.2.7/32"),
        ("fd00::/8", "fd00::/8"),
        ("::1", "::1/128"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("172.16.0.0/255.240.0.0", "172.16.0.0/12"),
    ],
)
def test_network__spellings(text: str, network: str) -> None:
    """A network is one, an address a network of its own, a mapped one is that of IPv4."""
    assert parse_network(text) == ip_network(network)


@pytest.mark.parametrize(
    ("text", "message", "suggestion"),
    [
        ("10.1.2.3/8", "is an address inside a network", 'say "10.0.0.0/8"'),
        ("localhost", "is a name", 'say "127.0.0.0/8" and "::1"'),
        ("10.0.*", "is no network", 'say "10.0.0.0/16"'),
        ("10.*.*.*", "is no network", 'say "10.0.0.0/8"'),
        ("fe80::1%eth0", "has a zone", "say e.g."),
        ("10.0.0.0/33", "is no network", "say e.g."),
        ("x" * 5000, "is no network", "say e.g."),
        ("", "is no network", "say e.g."),
    ],
)
def test_network__refused(text: str, message: str, suggestion: str) -> None:
    """What is no network is refused in a short sentence, with what was meant if that shows."""
    with pytest.raises(ValueError, match=message) as caught:
        parse_network(text)
    told, _, hint = str(caught.value).partition("; ")
    assert (message in told, hint.startswith(suggestion), len(told) < 120) == (True, True, True)


def test_ends__of_a_network() -> None:
    """A network's addresses are those between its ends."""
    low, high = ends_of(parse_network("10.0.0.0/8"))
    assert low <= pack(ip_address("10.0.0.0")) < pack(ip_address("10.255.255.255")) <= high
    assert pack(ip_address("11.0.0.0")) > high
    assert pack(ip_address("9.255.255.255")) < low
