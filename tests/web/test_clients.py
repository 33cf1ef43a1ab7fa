"""Who a client is behind which hops, and whether it may connect: pure decisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypicached.networks import parse_address, parse_network
from pypicached.web.clients import MAX_HOPS, UNKNOWN, Clients

PROXIES = ("10.0.0.0/8", "fd00::/8")


def clients(trusted: tuple[str, ...] = PROXIES, allowed: tuple[str, ...] = ()) -> Clients:
    return Clients(
        trusted=[parse_network(text) for text in trusted],
        allowed=[parse_network(text) for text in allowed],
    )


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        # A peer that nobody trusts is the client, whatever it says.
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        # What stands left of the first hop that is not ours was written by the client.
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.1,10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3,10.0.0.2"], "10.0.0.3"),
        # Junk ends the walk at the last hop that is known.
        ("10.0.0.1", ["junk"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, junk, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.1,,"], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        # Mapped addresses are those of IPv4, on both sides.
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::ffff:192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("fd00::1%eth0", ["2001:DB8::1"], "2001:db8::1"),
    ],
)
def test_client__behind_hops(peer: str, forwarded: list[str], found: str) -> None:
    """X-Forwarded-For is read from its right end, through trusted hops only."""
    assert clients().find((peer, 4711), forwarded).address == found


def test_client__without_trusted_proxies() -> None:
    """Where no proxy is trusted the header is nobody's word."""
    nobody = clients(trusted=())
    assert nobody.find(("10.0.0.1", 1), ["198.51.100.1"]).address == "10.0.0.1"


def test_client__more_hops_than_there_are() -> None:
    """A header of thousands of trusted hops costs a few of them."""
    found = clients().find(("10.0.0.1", 1), [", ".join(f"10.0.1.{n % 250}" for n in range(5000))])
    assert found.address == f"10.0.1.{(5000 - MAX_HOPS) % 250}"


@pytest.mark.parametrize("peer", ["", "/run/client", b"\0abstract", "192.0.2.1", "10.0.0.1"])
def test_client__of_a_unix_socket(peer: str | bytes) -> None:
    """A peer of a Unix socket is this host, however it calls itself; no name is an address."""
    assert clients().find(peer, ["198.51.100.1"]).address == "unix"
    here = clients(trusted=("127.0.0.1",), allowed=("198.51.100.0/24",))
    assert here.find(peer) == ("unix", True, False)
    assert here.find(peer, ["198.51.100.1"]) == ("198.51.100.1", False, True)
    assert clients(allowed=("127.0.0.0/8",)).find(peer).admitted
    assert not clients(allowed=("10.0.0.0/8",)).find(peer).admitted


def test_client__that_is_gone() -> None:
    """A connection without a peer is trusted by nobody, and admitted only where all are."""
    everybody = clients(trusted=("0.0.0.0/0", "::/0"), allowed=("0.0.0.0/0", "::/0"))
    assert everybody.find(None, ["198.51.100.1"]) == (UNKNOWN, False, False)
    assert clients().find(None).admitted


@pytest.mark.parametrize(
    ("peer", "forwarded", "admitted"),
    [
        ("198.51.100.1", [], True),
        ("::ffff:198.51.100.1", [], True),
        ("2001:db8::1", [], True),
        ("192.0.2.1", [], False),
        ("192.0.2.1", ["198.51.100.1"], False),
        # The proxy itself is no client that may connect, but whom it asks for may be.
        ("10.0.0.1", [], False),
        ("10.0.0.1", ["junk"], False),
        ("10.0.0.1", ["198.51.100.1"], True),
        ("10.0.0.1", ["192.0.2.1"], False),
        ("10.0.0.1", ["198.51.100.1, 192.0.2.1"], False),
        ("10.0.0.1", ["192.0.2.1, 198.51.100.1"], True),
    ],
)
def test_client__admitted(peer: str, forwarded: list[str], admitted: bool) -> None:
    """Judged is the client behind trusted proxies, else the peer."""
    judge = clients(allowed=("198.51.100.0/24", "2001:db8::/32"))
    assert judge.find((peer, 1), forwarded).admitted is admitted


@given(st.lists(st.text(max_size=100)), st.sampled_from(["10.0.0.1", "192.0.2.1", "fd00::1"]))
def test_client__any_header(forwarded: list[str], peer: str) -> None:
    """Whatever the header holds, what comes back is an address."""
    found = clients().find((peer, 1), forwarded)
    assert parse_address(found.address) is not None
