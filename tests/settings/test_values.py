"""Single values: what each setting takes, and what it says about the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from pypicached.settings import Share, split_listen

from .conftest import Load, Refuse


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("cache.page_ttl", '"12 parsecs"', '"12 parsecs" is no duration'),
        ("cache.page_ttl", "true", "must be a duration, not true or false"),
        ("cache.page_ttl", "inf", "inf is no duration"),
        ("cache.page_deadline", "0", "must be longer than nothing"),
        ("cache.page_ttl", "2026-11-21", "must be a duration, not a date or time"),
        ("cache.max_size", '"0"', "must be more than nothing"),
        ("cache.max_size", '"110%"', '"110%" is no share of a disk'),
        ("cache.max_size", "1.5", "must be a size, not a number"),
        ("cache.min_free", '"100%"', "leaves no room for the cache"),
        ("cache.directory", "7", "must be text in quotes, not a number"),
        ("cache.directory", '""', '"" is no path'),
        ("server.access_log", '"yes"', 'must be true or false, not "yes"'),
        ("server.log_format", '"xml"', '"xml" is not "text" or "json"'),
        ("server.listen", '"127.0.0.1:80"', "must be a list, not text"),
        ("server.listen", "[1]", "must be a list of texts; one of them is a number"),
        ("server.listen", "[]", "at least one address is needed"),
        ("server.listen", '["a:1", "a:1"]', '"a:1" stands there twice'),
        ("server.allow_from", '"10.0.0.0/8"', "must be a list, not text"),
        ("server.allow_from", '["10.1.2.3/8"]', '"10.1.2.3/8" is an address inside a network'),
        ("server.trusted_proxies", '["nginx"]', '"nginx" is no network'),
        ("audit.keep", '"for ever"', '"for ever" is no duration'),
        ("audit.keep", "90", "90 is less than a day"),
        ("limits.clients", '"many"', 'must be a whole number without quotes, not "many"'),
        ("limits.clients", "0", "0 is not between 1 and 1000000"),
        ("limits.page_size", '"8 Mib/s"', '"8 Mib/s" is no size'),
    ],
)
def test_value__refused_in_words(refuse: Refuse, key: str, value: str, words: str) -> None:
    """A value that a setting cannot have is refused with what it is and what was expected."""
    section, _, name = key.rpartition(".")
    problem = refuse(f"[{section}]\n{name} = {value}\n")[key]
    assert words in problem[0]


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("cache.page_ttl", '"12 parsecs"', 'say e.g. "10m"'),
        ("cache.prune_after", '"off"', 'say e.g. "90d", or "never"'),
        ("cache.prune_after", "90", 'say e.g. "90d", or "never"'),
        ("cache.stale_if_error", '"never"', 'say e.g. "10m", or "off"'),
        ("cache.max_size", '"lots"', 'say e.g. "50GiB", "40%" or "unlimited"'),
        ("audit.keep", '"never"', 'say e.g. "90d", or "off"'),
        ("server.allow_from", '["10.1.2.3/8"]', 'say "10.0.0.0/8", or the address alone'),
        ("server.allow_from", '["localhost"]', 'say "127.0.0.0/8" and "::1"'),
        ("server.trusted_proxies", '["nginx"]', 'say e.g. "10.0.0.0/8"'),
        ("server.log_level", '"warn"', 'did you mean "warning"?'),
        ("server.listen", '["3143"]', 'say "127.0.0.1:3143"'),
        ("server.listen", '["::1:3143"]', "put an IPv6 address into brackets"),
        ("server.listen", '[":80"]', '"0.0.0.0:80" for everybody'),
    ],
)
def test_value__suggestion(refuse: Refuse, key: str, value: str, hint: str) -> None:
    """A refused value comes with one that would be taken."""
    section, _, name = key.rpartition(".")
    assert hint in " ".join(refuse(f"[{section}]\n{name} = {value}\n")[key])


def test_sizes__percent_and_words(read: Load) -> None:
    """A percent value stays a share of the disk, "unlimited" is None, a size is bytes."""
    cache = read('[cache]\nmax_size = "40%"\nmin_free = "12.5%"\n').settings.cache
    assert cache.max_size == Share(40.0)
    assert cache.max_size_bytes(1000) == 400
    assert cache.min_free == Share(12.5)
    assert read('[cache]\nmax_size = "unlimited"\n').settings.cache.max_size is None
    assert read("[cache]\nmax_size = 4096\n").settings.cache.max_size_bytes(10) == 4096


def test_min_free__share_has_a_floor(read: Load) -> None:
    """A share is at least 2 GiB (PRODUCT section 4); a size is taken at its word."""
    gib = 1024**3
    cache = read().settings.cache
    assert cache.min_free_bytes(10 * gib) == 2 * gib
    assert cache.min_free_bytes(1000 * gib) == 50 * gib
    assert read('[cache]\nmin_free = "1MiB"\n').settings.cache.min_free_bytes(gib) == 1024**2


def test_prune_after__words(read: Load) -> None:
    """ "never" is None, and the default; a duration is seconds."""
    assert read().settings.cache.prune_after is None
    assert read('[cache]\nprune_after = "never"\n').settings.cache.prune_after is None
    assert read('[cache]\nprune_after = "90d"\n').settings.cache.prune_after == 90 * 86_400.0


def test_keep__words(read: Load) -> None:
    """What `who` remembers is 90 days by default; "off" is 0.0."""
    assert read().settings.audit.keep == 90 * 86_400.0
    assert read('[audit]\nkeep = "off"\n').settings.audit.keep == 0.0
    assert read('[audit]\nkeep = "7d"\n').settings.audit.keep == 7 * 86_400.0


def test_networks__lists(read: Load) -> None:
    """Networks come from a file or, comma separated, from the environment; by default none."""
    server = read().settings.server
    assert (server.trusted_proxies, server.allow_from) == ((), ())
    text = '[server]\ntrusted_proxies = ["10.0.0.1", "fd00::/8"]\n'
    env = {"PYPICACHED_SERVER__ALLOW_FROM": "127.0.0.0/8, ::1"}
    server = read(text, env).settings.server
    assert [str(network) for network in server.trusted_proxies] == ["10.0.0.1/32", "fd00::/8"]
    assert [str(network) for network in server.allow_from] == ["127.0.0.0/8", "::1/128"]


def test_off__is_zero(read: Load) -> None:
    """ "off" is 0.0 seconds."""
    cache = read('[cache]\nstale_if_error = "off"\n').settings.cache
    assert (cache.stale_if_error, cache.stale_while_revalidate) == (0.0, 0.0)


def test_paths__relative_to_the_file(
    read: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path in a file starts at the file, also that of a socket; ~ is the home."""
    monkeypatch.setenv("HOME", "/home/me")
    text = '[cache]\ndirectory = "here"\nledger = "~/l"\n[server]\nlisten = ["unix:run/s"]\n'
    settings = read(text).settings
    assert settings.cache.directory == tmp_path / "here"
    assert settings.cache.ledger == Path("/home/me/l")
    assert settings.server.listen == (f"unix:{tmp_path}/run/s",)


def test_socket_path__too_long(refuse: Refuse) -> None:
    """A socket path that no address can hold is refused before anything tries to bind it."""
    long = "/" + "x" * 107
    found = refuse(f'[server]\ncontrol_socket = "{long}"\nlisten = ["unix:{long}"]\n')
    assert "at most 107 bytes" in found["server.control_socket"][0]
    assert "at most 107 bytes" in found["server.listen"][0]


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:3143", ("::1", 3143)),
        ("localhost:80", ("localhost", 80)),
        ("unix:/run/x", Path("/run/x")),
    ],
)
def test_split_listen__each_form(text: str, split: object) -> None:
    """An address is taken apart, the brackets of IPv6 removed."""
    assert split_listen(text) == split


@pytest.mark.parametrize(
    "text",
    ["", "3143", "host", "h:99999", "h:1x", "300.0.0.1:1", "[::g]:1", "::1", "[h]:1", "a b:1"],
)
def test_split_listen__refused(text: str) -> None:
    """What is no address is refused."""
    with pytest.raises(ValueError, match=r"\w"):
        split_listen(text)


def test_list__every_bad_item(refuse: Refuse) -> None:
    """Of a list every item that is bad is told, each with what to write instead."""
    found = refuse('[server]\nlisten = ["3143", "127.0.0.1:80", ":3143", "0.0.0.0"]\n')
    message, suggestion = found["server.listen"]
    assert suggestion == ""
    assert message.startswith(
        '"3143" has no port (say "127.0.0.1:3143"); ":3143" has no host (say '
    )
    assert '; "0.0.0.0" has no port (say ' in message
    assert "80" not in message
