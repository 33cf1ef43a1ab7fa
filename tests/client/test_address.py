"""The URL on the command line, and a proxy in its way: as `pypicached client` sees both."""

from __future__ import annotations

import pypicached_client as program
import pytest

from pypicached.cli import address as commands
from tests.client.conftest import Machine

_URLS = (
    "http://127.0.0.1:3143",
    "http://127.0.0.1:3143/simple",
    "https://cache.example/pypi/simple/",
    "https://Cache.example/pypi",
    "cache.example:80",
    "http://[fd00::2]:3143/",
    "http://[::1]/acme/simple/",
    "http://localhost.example",
)
_NO_URLS = (
    "ftp://h/",
    "http://user:secret@h/",
    "user:secret@h",
    "http://h:99999/",
    "http://h:0/",
    "http://h:http/",
    "http://[::1/",
    "::1",
    "http://::1/",
    "::1:3143",
    "http:/127.0.0.1",
    "http:127.0.0.1",
    "http:///simple/",
    "http://h/?a=b",
    'http://h/"\nx = 1',
    "http://h/$(id)",
    "",
)


@pytest.mark.parametrize("url", _URLS)
def test_address__as_the_commands(url: str) -> None:
    """Both programs make the same of a URL."""
    ours, theirs = program.parse_address(url), commands.parse_address(url)
    assert (ours.url, ours.netloc) == (theirs.index_url, theirs.netloc)
    assert (ours.is_loopback, ours.needs_trust) == (theirs.is_loopback, theirs.needs_trust)


@pytest.mark.parametrize("url", _NO_URLS)
def test_address__refused(url: str, machine: Machine) -> None:
    """What is no index address is wrong usage, nothing is written, and no credential repeated."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are compared
        commands.parse_address(url)
    done = machine.run("enable", url)
    assert (done.code, done.out) == (2, "")
    assert str(caught.value) in done.err
    assert "secret" not in done.err
    assert not machine.pip_conf.exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://h:99999/", "the URL has a port that is none; for example http"),
        ("::1", "the URL has an IPv6 address without brackets, as in http://[::1]:3143/; "),
        ("http:/127.0.0.1", "the URL has no // behind its http:; for example"),
    ],
)
def test_address__in_words(url: str, said: str, machine: Machine) -> None:
    """The words are ours, and not those of a library."""
    assert f"pypicached-client: {said}" in machine.run("enable", url).err


@pytest.mark.parametrize("url", ["unix:/run/pypicached/public.sock", "/run/x.sock"])
def test_address__unix_socket(url: str, machine: Machine) -> None:
    """A Unix socket is refused with the reason: no client can use one."""
    done = machine.run("enable", url)
    assert done.code == 2
    assert "is a Unix socket, which neither pip nor uv can use" in done.err


_ENVIRONMENTS: tuple[dict[str, str], ...] = (
    {},
    {"http_proxy": ""},
    {"http_proxy": "http://p:1"},
    {"HTTP_PROXY": "http://p:1"},
    {"ALL_PROXY": "socks5://p:1"},
    {"https_proxy": "http://p:1"},
    {"http_proxy": "http://p:1", "NO_PROXY": "*"},
    {"http_proxy": "http://p:1", "NO_PROXY": "a, .example"},
    {"http_proxy": "http://p:1", "no_proxy": "cache.example:3143"},
    {"http_proxy": "http://p:1", "NO_PROXY": "ample,example.cache"},
    {"http_proxy": "http://p:1", "NO_PROXY": "*", "no_proxy": "x"},
)


@pytest.mark.parametrize("env", _ENVIRONMENTS)
def test_proxy__as_the_commands(env: dict[str, str], machine: Machine) -> None:
    """Both programs see the same proxy in the way, and say the same line against it."""
    machine.become(environment=env)
    url = "http://cache.example:3143"
    notes = program.note_proxy(machine.host, program.parse_address(url))
    theirs = commands.parse_address(url)
    variable = commands.proxy_in_the_way(theirs, env)
    assert [
        note.split(" is set and NO_PROXY does not exempt cache.example")[0] for note in notes
    ] == ([variable] if variable else [])
    assert all(note.endswith(commands.no_proxy_line(theirs, env)) for note in notes)


@pytest.mark.parametrize(
    ("no_proxy", "exempt"),
    [
        ("localhost, 127.0.0.0/8", True),
        ("10.0.0.0/8", False),
        ("127.0.0.1/33", False),
        ("127.0.0.1:3143", False),
        ("127.0.0.1", True),
    ],
)
def test_proxy__networks(machine: Machine, no_proxy: str, exempt: bool) -> None:
    """A network exempts what is in it, which pip and uv both understand; a port they do not."""
    machine.become(environment={"http_proxy": "http://p:1", "NO_PROXY": no_proxy})
    notes = program.note_proxy(machine.host, program.parse_address("127.0.0.1:3143"))
    assert (notes == []) == exempt
