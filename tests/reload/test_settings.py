"""Each setting: what a reload makes of it is what a start would have made of it, or it is told.

The table has a row for each key of the schema, so that a new one is either put in force by a
reload, with a look that shows it, or marked as one that needs a restart.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from pypicached.settings.schema import INDEX_KEYS, SECTIONS, known_keys
from tests.reload.looks import (
    Look,
    Place,
    absence,
    access_log,
    aged,
    asked_with,
    drain,
    expired_page,
    fetched_by,
    file,
    guarded,
    limit,
    log_settings,
    memory,
    min_free,
    new_page,
    owners,
    page,
    page_in_an_outage,
    part,
    proxied,
    proxies,
    sent_away,
    withdrawn_file,
)
from tests.reload.world import World, changed, publish


class Case(NamedTuple):
    """A file before and after, as `text_of` takes it, and a look."""

    before: str
    after: str
    look: Look


def of(section: str, before: str, after: str, look: Look, always: str = "") -> Case:
    """Make a case of a line of a section, before and after, beside one that stays."""
    return Case(f"[{section}]\n{always}\n{before}\n", f"[{section}]\n{always}\n{after}\n", look)


def of_index(before: str, after: str, look: Look, more: str = "") -> Case:
    """Make a case of lines in the table of the index `main`, before another index or none."""
    return Case(f"{{main}}\n{before}\n{more}", f"{{main}}\n{after}\n{more}", look)


OTHER = "{other}\n"
BUCKET = """
[store]
kind = "s3"
[store.s3]
bucket = "one"
endpoint_url = "http://127.0.0.1:1"
access_key_id = "one"
secret_access_key = "one"
"""
SENDING = f'{BUCKET}serve = "redirect"\n'
CASES: dict[str, Case] = {
    "server.trusted_proxies": of(
        "server", "", 'trusted_proxies = ["127.0.0.1"]', proxied, 'allow_from = ["10.1.0.0/16"]'
    ),
    "server.allow_from": of("server", "", 'allow_from = ["10.0.0.0/8"]', page),
    "server.access_log": of("server", "", "access_log = true", access_log),
    "server.log_format": of("server", "", 'log_format = "json"', log_settings),
    "server.log_level": of("server", "", 'log_level = "error"', log_settings),
    "server.drain": of("server", "", 'drain = "1s"', drain),
    "cache.max_size": of("cache", "", 'max_size = "3GiB"', limit),
    "cache.min_free": of("cache", 'min_free = "1MB"', 'min_free = "9000TiB"', min_free),
    "cache.prune_after": of("cache", "", 'prune_after = "30d"', aged),
    "cache.memory": of("cache", "", 'memory = "0"', memory),
    "cache.page_ttl": of("cache", "", 'page_ttl = "7m"', page),
    "cache.stale_while_revalidate": of("cache", "", 'stale_while_revalidate = "1h"', expired_page),
    "cache.stale_if_error": of("cache", "", 'stale_if_error = "off"', page_in_an_outage),
    "cache.negative_ttl": of("cache", "", 'negative_ttl = "1s"', absence),
    "cache.page_deadline": of(
        "cache", "", 'page_deadline = "2s"', part("catalog.pages.main.times.page_deadline")
    ),
    "cache.cold_deadline": of(
        "cache", "", 'cold_deadline = "3s"', part("catalog.pages.main.times.cold_deadline")
    ),
    "cache.offline": of("cache", "", "offline = true", new_page),
    "limits.clients": of("limits", "", "clients = 77", part("sweep.clients")),
    "limits.request_head": of("limits", "", 'request_head = "7s"', part("sweep.head_seconds")),
    "limits.page_size": of("limits", "", 'page_size = "100"', new_page),
    "limits.metadata_size": of(
        "limits", "", 'metadata_size = "2MiB"', part("connections.main.limits.metadata_bytes")
    ),
    "policy.min_age": of("policy", "", 'min_age = "9000d"', file),
    "policy.deny": of("policy", "", 'deny = ["alpha"]', file),
    "policy.allow": of("policy", "", 'allow = ["beta"]', file),
    "policy.exempt": of("policy", "", 'exempt = ["alpha"]', file, 'min_age = "9000d"'),
    "policy.removed_files": of("policy", "", 'removed_files = "refuse"', withdrawn_file),
    "audit.keep": of("audit", "", 'keep = "off"', fetched_by),
    "store.s3.serve": Case(BUCKET, SENDING, sent_away),
    "store.s3.redirect_status": Case(SENDING, f"{SENDING}redirect_status = 307\n", sent_away),
    "store.s3.public_url": Case(
        SENDING, f'{SENDING}public_url = "https://files.example"\n', sent_away
    ),
    "index.url": of_index('url = "{main_url}"', 'url = "{other_url}"', asked_with),
    "index.ttl": of_index("", 'ttl = "3m"', page),
    "index.username": of_index('username = "a"', 'username = "b"', asked_with),
    "index.password": of_index(
        'username = "a"\npassword = "x"', 'username = "a"\npassword = "y"', asked_with
    ),
    "index.password_file": of_index(
        'username = "a"\npassword_file = "one"', 'username = "a"\npassword_file = "two"', asked_with
    ),
    "index.token": of_index('token = "x"', 'token = "y"', asked_with),
    "index.token_file": of_index('token_file = "one"', 'token_file = "two"', asked_with),
    "index.proxy": of_index("", 'proxy = "http://127.0.0.1:9"', proxies),
    "index.timeout": of_index(
        "", 'timeout = "9s"', part("connections.main._sessions._timeout.sock_read")
    ),
    "index.connect_timeout": of_index(
        "", 'connect_timeout = "2s"', part("connections.main._sessions._timeout.sock_connect")
    ),
    "index.page_deadline": of_index(
        "", 'page_deadline = "2s"', part("catalog.pages.main.times.page_deadline")
    ),
    "index.cold_deadline": of_index(
        "", 'cold_deadline = "2s"', part("catalog.pages.main.times.cold_deadline")
    ),
    "index.file_deadline": of_index(
        "", 'file_deadline = "2s"', part("file_handler.terms.main.cold_deadline")
    ),
    "index.projects": of_index("", 'projects = ["beta"]', owners, OTHER),
    "index.exclude": of_index("", 'exclude = ["alpha"]', owners, OTHER),
    "index.allow_addresses": of_index("", 'allow_addresses = ["10.0.0.0/8"]', guarded),
}
# In `test_tls`: they need certificates, and an index that speaks TLS.
WITH_CERTIFICATES = {"index.ca_file", "index.client_cert", "index.client_key"}
# The line of each in `HOLDING`, and another one.
RESTART = {
    "server.listen": ('listen = ["127.0.0.1:0"]', 'listen = ["127.0.0.1:1"]'),
    "server.control_socket": ("control.sock", "other.sock"),
    "cache.directory": ("/cache", "/other"),
    "cache.ledger": ("ledger.sqlite", "other.sqlite"),
    "store.kind": ('kind = "local"', 'kind = "s3"'),
    "store.s3.bucket": ('bucket = "one"', 'bucket = "two"'),
    "store.s3.prefix": ('prefix = "one/"', 'prefix = "two/"'),
    "store.s3.endpoint_url": ("http://127.0.0.1:1", "http://127.0.0.1:2"),
    "store.s3.region": ('region = "one"', 'region = "two"'),
    "store.s3.access_key_id": ('key_id = "one"', 'key_id = "two"'),
    "store.s3.secret_access_key": ('key = "one"', 'key = "two"'),
    "store.s3.secret_access_key_file": ('key_file = "one"', 'key_file = "two"'),
    "store.s3.addressing": ('addressing = "path"', 'addressing = "virtual"'),
}
HOLDING = """
[server]
listen = ["127.0.0.1:0"]
control_socket = "{directory}/control.sock"
[cache]
directory = "{directory}/cache"
ledger = "{directory}/ledger.sqlite"
[store]
kind = "local"
[store.s3]
bucket = "one"
prefix = "one/"
endpoint_url = "http://127.0.0.1:1"
region = "one"
access_key_id = "one"
secret_access_key = "one"
addressing = "path"
"""
NOT_GIVEN = {"server__listen": None, "server__control_socket": None, "cache__directory": None}


def text_of(world: World, template: str) -> str:
    """Return a template as a file."""
    main = '[[index]]\nname = "main"' if "url =" in template else world.index("main")
    text = template.replace("{main}", main).replace("{other}", world.index("other"))
    return text.replace("{main_url}", world.main.url).replace("{other_url}", world.other.url)


def test_settings__all_of_them_are_in_the_table() -> None:
    """A key of the schema is shown to act, or known to need a restart.

    The name of an index is no such key: under another name it is another index.
    """
    restart = {
        f"{section}.{name}"
        for section, keys in SECTIONS.items()
        for name, key in keys.items()
        if key.restart
    }
    every = {*known_keys(), *(f"index.{key}" for key in INDEX_KEYS if key != "name")}
    assert restart == set(RESTART)
    assert every == {*CASES, *WITH_CERTIFICATES, *RESTART}


@pytest.mark.parametrize("key", CASES)
async def test_settings__act_at_once(
    tmp_path: Path, world: World, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    """After a reload a daemon is as one that was started with the new file; and not as it was."""
    case = CASES[key]
    before, after = text_of(world, case.before), text_of(world, case.after)
    for name, text in (("one", "first"), ("two", "second")):
        (tmp_path / name).write_text(text)
    async with world.running(before, cache__min_free=None) as daemon:
        place = Place(world, daemon, caplog)
        was = await case.look(place)
        for upstream in (world.main, world.other):
            publish(upstream)
        answer = await world.reload(daemon, after)
        told = key if not key.startswith("index.") else key.replace("index.", "index.main.")
        assert (changed(answer), answer.needs_restart) == ([told], [])
        became = await case.look(place)
        assert (await world.reload(daemon, after)).changed == []
    world.logged.clear()
    (tmp_path / "fresh").mkdir()
    fresh = World(tmp_path / "fresh", world.main, world.other)
    for name, text in (("one", "first"), ("two", "second")):
        (fresh.directory / name).write_text(text)
    for upstream in (world.main, world.other):
        publish(upstream)
    async with fresh.running(after, cache__min_free=None) as daemon:
        assert became == await case.look(Place(fresh, daemon, caplog))
    assert became != was


@pytest.mark.parametrize("key", RESTART)
async def test_settings__that_need_a_restart(world: World, key: str) -> None:
    """What a running daemon holds on to is named, by each reload and by `status`; all else acts."""
    text = HOLDING.format(directory=world.directory)
    if key == "store.s3.secret_access_key_file":
        text = text.replace("secret_access_key =", "secret_access_key_file =")
        for name in ("one", "two"):
            (world.directory / name).write_text("secret")
    async with world.running(text, **NOT_GIVEN) as daemon:
        other = text.replace(*RESTART[key]) + '[policy]\ndeny = ["alpha"]'
        answer = await world.reload(daemon, other)
        assert (changed(answer), answer.needs_restart) == (["policy.deny"], [key])
        assert (await daemon.ask("/simple/alpha/")).status == 403
        again = await world.reload(daemon, other)
        assert (changed(again), again.needs_restart) == ([], [key])
        assert f"needs a restart: {key}" in (await daemon.parts.operations.status()).problems
        assert (await world.reload(daemon, text)).needs_restart == []
        problems = (await daemon.parts.operations.status()).problems
        assert not any("restart" in problem for problem in problems)
