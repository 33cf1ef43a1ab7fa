"""What the address guard lets an index lead to, and what it learns of where the index lives."""

from __future__ import annotations

import pytest
from yarl import URL

from pypicached.networks import parse_network
from pypicached.upstream.guard import Guard, RefusedAddressError

ADDRESSES = {
    "public": "8.8.8.8",
    "private": "10.0.0.1",
    "shared": "100.64.0.1",
    "documentation": "203.0.113.1",
    "loopback": "127.0.0.1",
    "link-local": "169.254.169.254",
    "reserved": "0.0.0.0",
}
PUBLIC = "http://index.vendor.net/simple/"
SECURE = "https://index.vendor.net/simple/"


def guard_of(url: str, *allowed: str) -> Guard:
    return Guard(URL(url), [parse_network(text) for text in allowed])


def is_open(guard: Guard, address: str, *, own: bool = False, tls: bool = False) -> bool:
    try:
        guard.check(address, own=own, tls=tls)
    except RefusedAddressError:
        return False
    return True


def opened(guard: Guard, **how: bool) -> set[str]:
    """Return the kinds of address that are open now."""
    # Public last: an own name that leads there is believed no private address any more.
    kinds = sorted(ADDRESSES, key=lambda kind: kind == "public")
    return {kind for kind in kinds if is_open(guard, ADDRESSES[kind], **how)}


@pytest.mark.parametrize(
    ("url", "kinds"),
    [
        (PUBLIC, {"public"}),
        (SECURE, {"public"}),
        ("http://8.8.4.4/simple/", {"public"}),
        ("http://10.9.9.9/simple/", {"public", "private"}),
        ("http://[fd00::1]/simple/", {"public", "private"}),
        ("http://100.65.0.1/simple/", {"public", "shared"}),
        ("http://127.0.0.2/simple/", {"public", "loopback"}),
        ("http://[::ffff:127.0.0.2]/simple/", {"public", "loopback"}),
        ("http://localhost:3141/simple/", {"public", "loopback"}),
        ("http://buildhost/simple/", {"public"}),
        ("http://169.254.1.1/simple/", {"public"}),
    ],
)
def test_others__rule_62_same_class_as_the_index(url: str, kinds: set[str]) -> None:
    """Other hosts may be public, or of the very class that the index's URL itself says."""
    assert opened(guard_of(url)) == kinds


@pytest.mark.parametrize(
    ("url", "tls", "kinds"),
    [
        (PUBLIC, False, {"public", "private", "shared", "documentation"}),
        (SECURE, True, {"public", "private", "shared", "documentation", "loopback"}),
        (
            "http://buildhost/simple/",
            False,
            {"public", "private", "shared", "documentation", "loopback"},
        ),
        (
            "http://index.internal/simple/",
            False,
            {"public", "private", "shared", "documentation", "loopback"},
        ),
    ],
)
def test_own__rule_62_name(url: str, tls: bool, kinds: set[str]) -> None:
    """An index's own name may lead inside, to loopback only by a name for inside or with TLS."""
    assert opened(guard_of(url), own=True, tls=tls) == kinds


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1%eth0", "0.0.0.0", "10.0.0.1"])
def test_own__rule_62_the_very_address(address: str) -> None:
    """The address that stands in the index's URL is connected to, whatever it is; not its likes."""
    host = f"[{address.partition('%')[0]}]" if ":" in address else address
    guard = guard_of(f"http://{host}/simple/")
    assert is_open(guard, address, own=True)
    assert is_open(guard, address)
    assert not is_open(guard, "169.254.1.1", own=True)
    assert not is_open(guard, "fe80::2", own=True)


@pytest.mark.parametrize("url", [PUBLIC, SECURE])
def test_own__rule_62_rebinding(url: str) -> None:
    """A name that has led to a public address leads to no private one any more."""
    guard = guard_of(url)
    tls = url == SECURE
    assert is_open(guard, "10.0.0.1", own=True, tls=tls)
    assert is_open(guard, "8.8.8.8", own=True, tls=tls)
    assert opened(guard, own=True, tls=tls) == {"public"}


def test_home__rule_62_proved_by_a_certificate() -> None:
    """Where a connection to the index's own name came about with TLS, its files may be, too."""
    guard = guard_of(SECURE)
    assert guard.learnable
    guard.connected("10.1.1.1", own=True, tls=True)
    assert opened(guard) == {"public", "private"}
    assert (guard.learnable, guard.has_learned) == (False, True)


def test_home__rule_62_a_name_for_inside_is_proof() -> None:
    """A name that nobody outside answers for proves where it leads, also in clear."""
    guard = guard_of("http://nexus.internal/simple/")
    guard.connected("10.1.1.1", own=True, tls=False)
    assert opened(guard) == {"public", "private"}


def test_home__rule_62_an_answer_in_clear_is_none() -> None:
    """What a name server says of a public name opens nothing to other hosts; nor do they."""
    guard = guard_of(PUBLIC)
    assert not guard.learnable
    guard.connected("10.1.1.1", own=True, tls=False)
    guard.connected("127.0.0.1", own=False, tls=True)
    assert opened(guard) == {"public"}


@pytest.mark.parametrize(
    ("allowed", "open_too"),
    [
        ("10.0.0.0/8", {"private"}),
        ("10.0.0.1", {"private"}),
        ("10.0.0.2", set()),
        ("127.0.0.0/8", {"loopback"}),
        ("0.0.0.0/0", {"private", "shared", "documentation", "loopback"}),
        ("169.254.169.254", {"link-local"}),
        ("0.0.0.0/8", {"reserved"}),
    ],
)
def test_exceptions__rule_62(allowed: str, open_too: set[str]) -> None:
    """`allow_addresses` opens what it says; metadata only if nothing but such is meant."""
    assert opened(guard_of(PUBLIC, allowed)) == {"public", *open_too}


def test_exceptions__rule_62_wide_ones_leave_metadata_shut() -> None:
    """An exception for the shared block is none for the metadata address inside it."""
    assert not is_open(guard_of(PUBLIC, "100.64.0.0/10"), "100.100.100.200")
    assert not is_open(guard_of(PUBLIC, "fc00::/7"), "fd00:ec2::254")
    assert is_open(guard_of(PUBLIC, "fd00:ec2::254"), "fd00:ec2::254")


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://index.vendor.net/x", True),
        ("http://INDEX.vendor.net./x", True),
        ("https://index.vendor.net/x", True),
        ("https://index.vendor.net:8443/x", True),
        ("http://index.vendor.net:8080/x", False),
        ("http://files.vendor.net/x", False),
    ],
)
def test_own__host_and_port(url: str, own: bool) -> None:
    """The index's own host is its own port, and any that has to prove the name."""
    assert guard_of(PUBLIC).is_own(URL(url)) == own


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("http://files.vendor.net/", False),
        ("http://8.8.8.8/", False),
        ("http://127.0.0.1/", True),
        ("http://2130706433/", True),
        ("http://0x7f.1/", True),
        ("http://[::ffff:127.0.0.1]/", True),
        ("http://localhost./", True),
        ("http://a.LOCALHOST/", True),
        ("http://169.254.169.254/", True),
    ],
)
def test_proxy__rule_62_literals_are_judged(url: str, refused: bool) -> None:
    """Behind a proxy, which looks up the names, addresses in a URL are judged, however spelled."""
    try:
        guard_of(PUBLIC).check_host(URL(url))
    except RefusedAddressError:
        assert refused
    else:
        assert not refused
