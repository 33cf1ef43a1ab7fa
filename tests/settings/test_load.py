"""The layers: which one wins, where each value came from, all problems at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pypicached.errors import SettingsError
from pypicached.settings import Places, load, rows, spell_toml

from .conftest import Load, Refuse


def test_defaults__complete(read: Load, tmp_path: Path) -> None:
    """Nothing needs to be configured (PRODUCT section 1)."""
    loaded = read()
    server, cache, limits = (
        loaded.settings.server,
        loaded.settings.cache,
        loaded.settings.limits,
    )
    assert server.listen == ("127.0.0.1:3143", "[::1]:3143")
    assert (server.log_level, server.log_format, server.drain) == ("info", "text", 10.0)
    assert cache.directory == tmp_path / "cache"
    assert cache.ledger == tmp_path / "cache" / "ledger.sqlite"
    assert (cache.max_size, cache.memory) == (20 * 1024**3, 64 * 1024**2)
    assert (cache.page_ttl, cache.stale_if_error) == (600.0, 30 * 86_400.0)
    assert (cache.page_deadline, cache.cold_deadline, cache.negative_ttl) == (5.0, 10.0, 60.0)
    assert (limits.clients, limits.request_head) == (4096, 30.0)
    assert [index.name for index in loaded.settings.indexes] == ["pypi"]
    assert loaded.path is None
    assert set(loaded.sources.values()) == {"default"}
    assert loaded.warnings == []


def test_order__each_layer_wins_over_the_one_before(read: Load, tmp_path: Path) -> None:
    """Defaults < file < environment < command line, each told as the source."""
    text = '[cache]\nmax_size = "1GiB"\n'
    env = {"PYPICACHED_CACHE__MAX_SIZE": "2GiB"}
    seen = [
        (loaded.settings.cache.max_size, loaded.sources["cache.max_size"])
        for loaded in (
            read(),
            read(text),
            read(text, env),
            read(text, env, {"cache.max_size": "3GiB"}),
        )
    ]
    gib = 1024**3
    assert seen == [
        (20 * gib, "default"),
        (gib, f"file {tmp_path}/given.toml"),
        (2 * gib, "environment PYPICACHED_CACHE__MAX_SIZE"),
        (3 * gib, "command line"),
    ]


def test_overrides__not_given(read: Load) -> None:
    """None and empty lists on the command line are options that nobody gave."""
    overrides: dict[str, object] = {"server.listen": [], "cache.max_size": None, "index_url": None}
    assert read(None, {}, overrides).sources == read().sources


def test_overrides__typed_values(read: Load, tmp_path: Path) -> None:
    """The command line may hand over lists, paths and numbers."""
    overrides = {
        "server.listen": ["localhost:1"],
        "cache.directory": tmp_path / "d",
        "limits.clients": 5,
    }
    settings = read(None, {}, overrides).settings
    assert settings.server.listen == ("localhost:1",)
    assert settings.cache.ledger == tmp_path / "d" / "ledger.sqlite"
    assert settings.limits.clients == 5


def test_problems__all_at_once(refuse: Refuse) -> None:
    """Every problem of every layer is told at once, also where a higher layer wins."""
    text = """
[server]
listn = ["127.0.0.1:1"]
[cache]
page_ttl = "12 parsecs"
max_size = "big"
[[index]]
name = "simple"
url = "ftp://example.test/"
[policies]
min_age = "7d"
"""
    env = {"PYPICACHED_CACHE__MAX_SIZE": "1GiB", "PYPICACHED_LIMITS__CLIENTS": "few"}
    assert sorted(refuse(text, env, {"cache.memory": "much"})) == [
        "cache.max_size",
        "cache.memory",
        "cache.page_ttl",
        "index[1].name",
        "index[1].url",
        "limits.clients",
        "policies",
        "server.listn",
    ]


def test_problems__name_their_layer(refuse: Refuse) -> None:
    """A problem outside the file says where the value came from."""
    found = refuse(None, {"PYPICACHED_LIMITS__CLIENTS": "few"}, {"cache.memory": "much"})
    assert "(environment PYPICACHED_LIMITS__CLIENTS)" in found["limits.clients"][0]
    assert "(command line)" in found["cache.memory"][0]


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("[cache]\nmax_sise = 1\n", "cache.max_sise", 'did you mean "max_size"?'),
        ("[cache]\nlisten = []\n", "cache.listen", "it belongs into [server]"),
        ("max_size = 1\n", "max_size", "it belongs into [cache]"),
        ("[chache]\n", "chache", 'did you mean "cache"?'),
        ("[limits]\nmax_siz = 1\n", "limits.max_siz", 'did you mean "cache.max_size"?'),
        ('[[index]]\nname = "pypi"\ntimout = 1\n', "index.pypi.timout", 'mean "timeout"?'),
        ("[cache]\nverbosity = 1\n", "cache.verbosity", ""),
        ("[policies]\n", "policies", 'did you mean "policy"?'),
        ("[quota]\n", "quota", ""),
    ],
)
def test_unknown_key__nearest(refuse: Refuse, text: str, key: str, hint: str) -> None:
    """An unknown key names the nearest known one, or the section it belongs to; else nothing."""
    problem = refuse(text)[key]
    assert problem[0].startswith("unknown")
    assert hint in problem[1]
    assert bool(hint) == bool(problem[1])


def test_toml__line_and_column(refuse: Refuse, tmp_path: Path) -> None:
    """Bad TOML is told with its line and column, beside the problems of other layers."""
    found = refuse("[cache]\nmax_size = = 1\n", {"PYPICACHED_LIMITS__CLIENTS": "few"})
    assert "line 2, column 12" in found[f"{tmp_path}/given.toml"][0]
    assert "limits.clients" in found


@pytest.mark.parametrize(
    ("text", "table", "place"),
    [
        ("[cache]\noffline = true\n[cache]\n", "[cache]", "line 3"),
        ("[cache]\n[cache]", "[cache]", "line 2"),
        ("[cache.'a b'.c]\n[cache.'a b'.c]\n", "[cache.a b.c]", "line 2"),
    ],
)
def test_toml__table_twice(
    text: str, table: str, place: str, refuse: Refuse, tmp_path: Path
) -> None:
    """A table that stands there twice is told as it is written, with what to do."""
    assert refuse(text)[f"{tmp_path}/given.toml"] == (
        f"{table} is there twice",
        f"put what is below the second, at {place}, below the first",
    )


def test_toml__not_utf8(places: Places, tmp_path: Path) -> None:
    """A file in another encoding is told with the place of its first wrong byte."""
    path = tmp_path / "latin.toml"
    path.write_bytes(b'[cache]\nledger = "\xe9"\n')
    with pytest.raises(SettingsError, match="line 2, column 11"):
        load(path, {}, places=places)


def test_file__named_but_missing(places: Places, tmp_path: Path) -> None:
    """A `--config` that does not exist is an error, a missing default file is none."""
    with pytest.raises(SettingsError, match="does not exist"):
        load(tmp_path / "no.toml", {}, places=places)


def test_file__directory(places: Places, tmp_path: Path) -> None:
    """A `--config` that cannot be read says why."""
    with pytest.raises(SettingsError, match="directory"):
        load(tmp_path, {}, places=places)


def test_index__single_bracket(refuse: Refuse) -> None:
    """`[index]` is told apart from `[[index]]`, and its keys are looked at all the same."""
    found = refuse('[index]\nname = "pypi"\nurll = ""\n')
    assert "[[index]]" in found["index"][1]
    assert "index.pypi.urll" in found


def test_environment__lists(read: Load) -> None:
    """Lists are comma separated, or JSON; an address in brackets is no JSON."""
    for text in ("127.0.0.1:1, [::1]:2", json.dumps(["127.0.0.1:1", "[::1]:2"])):
        loaded = read(None, {"PYPICACHED_SERVER__LISTEN": text})
        assert loaded.settings.server.listen == ("127.0.0.1:1", "[::1]:2")
    alone = read(None, {"PYPICACHED_SERVER__LISTEN": "[::1]:3"}).settings.server.listen
    assert alone == ("[::1]:3",)


def test_environment__bad_json(refuse: Refuse) -> None:
    """A list that opens as JSON must be JSON."""
    found = refuse(None, {"PYPICACHED_SERVER__LISTEN": '["127.0.0.1:1"'})
    assert "no JSON list" in found["server.listen"][0]


def test_environment__booleans_and_numbers(read: Load) -> None:
    """Text from the environment becomes the type that the setting has."""
    env = {"PYPICACHED_SERVER__ACCESS_LOG": "on", "PYPICACHED_LIMITS__CLIENTS": "7"}
    settings = read(None, env).settings
    assert settings.server.access_log is True
    assert settings.limits.clients == 7


def test_environment__empty_is_not_set(read: Load) -> None:
    """An empty variable counts as not set."""
    env = {"PYPICACHED_CACHE__MAX_SIZE": "", "PYPICACHED_INDEX_URL": "", "PROXPI_INDEX_URL": ""}
    loaded = read(None, env)
    assert set(loaded.sources.values()) == {"default"}
    assert loaded.warnings == []


def test_environment__unknown_variable(read: Load) -> None:
    """An unknown variable is a warning with the nearest name; what platforms inject is ignored."""
    env = {
        "PYPICACHED_CACHE__MAXSIZE": "1",
        "PYPICACHED_PORT": "tcp://10.0.0.1:3143",
        "PYPICACHED_PORT_3143_TCP": "x",
        "PYPICACHED_SERVICE_HOST": "10.0.0.1",
        "PYPICACHED_SOCKET": "/run/x/s",
        "OTHER": "1",
    }
    assert read(None, env).warnings == [
        "environment variable PYPICACHED_CACHE__MAXSIZE is unknown and ignored; "
        'did you mean "PYPICACHED_CACHE__MAX_SIZE"?'
    ]


def test_environment__of_relatives(read: Load) -> None:
    """A recognised variable of proxpi or mypypi gives one warning with our name, not its value."""
    env = {"PROXPI_CACHE_SIZE": "5", "MYPYPI_UPSTREAM_URL": "https://u:hunter2@x", "PROXPI_ODD": ""}
    size, url = sorted(read(None, env).warnings, reverse=True)
    assert "PROXPI_CACHE_SIZE" in size
    assert "PYPICACHED_CACHE__MAX_SIZE" in size
    assert "MYPYPI_UPSTREAM_URL" in url
    assert "hunter2" not in url


def test_spell__reads_back(read: Load) -> None:
    """What `config show` prints is a configuration that means the same."""
    text = """
[server]
listen = ["unix:/run/a b/s", "[::1]:1"]
access_log = true
[cache]
max_size = "unlimited"
min_free = "7.25%"
page_ttl = 1.5
prune_after = "never"
stale_if_error = "off"
directory = "/x\\"y\\u007f"
[[index]]
name = "acme"
url = "https://index.example.test/root"
ttl = "90s"
projects = ["Acme_*"]
[[index]]
name = "pypi"
"""
    loaded = read(text)
    again = read(spell_toml(rows(loaded)))
    assert again.settings == loaded.settings


def test_rows__sources(read: Load) -> None:
    """Each row has the source of its key, those of indexes too."""
    found = {row.key: row.source for row in rows(read('[[index]]\nname = "pypi"\nttl = 5\n'))}
    assert found["index.pypi.ttl"].startswith("file ")
    assert found["index.pypi.timeout"] == "default"
    assert "index.pypi.password" not in found


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("cache = 5\n", "cache", "must be a table, not a number"),
        ('index = "pypi"\n', "index", "must be tables, not text"),
        ("index = []\n", "index", "at least one index is needed"),
    ],
)
def test_sections__of_the_wrong_type(refuse: Refuse, text: str, key: str, words: str) -> None:
    """A section that is no table is told as such."""
    assert words in refuse(text)[key][0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * 5000, "nested too deeply"),
        # Each of these took tomllib a minute and more.
        ("[cache]\noffline" + ".a" * 60_000 + " = 1\n", "nested too deeply"),
        ("[[index]]\nname" + ' . "a b"' * 60_000 + " = 1\n", "nested too deeply"),
        ("[cache" + ".a" * 60_000 + "]\n", "nested too deeply"),
        ("#" * (1024 * 1024 + 1), "larger than 1024 KiB"),
    ],
)
def test_toml__hostile(refuse: Refuse, tmp_path: Path, text: str, words: str) -> None:
    """A file that is too deep or too long is refused, not a crash."""
    assert words in refuse(text)[f"{tmp_path}/given.toml"][0]


HUGE = "0x" + "f" * 5000


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        (f"[cache]\nmax_size = {HUGE}\n", "cache.max_size", "so large a number is no size"),
        (f"[cache]\npage_ttl = {HUGE}\n", "cache.page_ttl", "so large a number is no duration"),
        (
            f"[cache]\noffline = {HUGE}\n",
            "cache.offline",
            "must be true or false, not so large a number",
        ),
        (
            f"[limits]\nclients = {HUGE}\n",
            "limits.clients",
            "so large a number is not between 1 and 1000000",
        ),
        (
            "[cache]\noffline = " + "[" * 200 + "]" * 200 + "\n",
            "cache.offline",
            "must be true or false, not a list",
        ),
        ("[cache]\noffline.a = 1\n", "cache.offline", "must be true or false, not a table"),
        (f"[limits]\nx = {HUGE}\n", "limits.x", "unknown key"),
    ],
)
def test_values__that_cannot_be_spelled(refuse: Refuse, text: str, key: str, message: str) -> None:
    """A number of any length, or a table of any depth, is told in words."""
    assert refuse(text)[key][0] == message


def test_toml__number_of_thousands_of_digits(refuse: Refuse, tmp_path: Path) -> None:
    """What Python does not even read is told as such."""
    (told,) = refuse("[cache]\nmax_size = " + "9" * 5000 + "\n").values()
    assert "a number or a date is out of range" in told[0]


@pytest.mark.parametrize(
    "text",
    [
        '[[index]]\nname = "{url}"\n',
        '[server]\nlisten = ["{url}"]\n',
        '[server]\nlog_level = "{url}"\n',
        '[server]\nallow_from = ["{url}"]\n',
        '[policy]\ndeny = ["{url}"]\n',
        '[policy]\ndeny = "{url}"\n',
        '[policy]\nexempt = ["{url}"]\n',
        '[cache]\nmax_size = "{url}"\n',
        '[cache]\npage_ttl = "{url}"\n',
        '[[index]]\nname = "a"\nurl = "https://x/simple/"\nttl = "{url}"\n',
    ],
)
def test_values__url_with_a_password(refuse: Refuse, text: str) -> None:
    """A URL in a place where none belongs is quoted without its credentials."""
    told = str(refuse(text.format(url="http://joe:p@ss/hunter@h/")))
    assert not any(word in told for word in ("hunter", "p@ss", "joe"))
    assert "//********@h" in told


def test_overrides__unknown(refuse: Refuse) -> None:
    """An override that is no setting is told like an unknown key of a file."""
    assert refuse(None, {}, {"cache.max_sise": "1"})["cache.max_sise"][1] == (
        'did you mean "max_size"?'
    )


@pytest.mark.parametrize(
    ("url", "listen", "address"),
    [
        ("http://127.0.0.1:3143/simple/", None, "127.0.0.1:3143"),
        ("http://localhost:3143/simple/", None, "127.0.0.1:3143"),
        ("http://[::1]:3143/simple/", None, "[::1]:3143"),
        ("http://127.0.0.1/simple/", ["0.0.0.0:80"], "0.0.0.0:80"),
        ("http://10.0.0.7:80/simple/", ["localhost:80", "10.0.0.7:80"], "10.0.0.7:80"),
        ("http://127.0.0.1:3144/simple/", None, None),
        ("http://cache.test:3143/simple/", ["0.0.0.0:3143"], None),
        ("http://127.0.0.1:3143/simple/", ["unix:/run/x", "10.0.0.7:3143"], None),
    ],
)
def test_index__this_very_daemon(
    url: str, listen: list[str] | None, address: str | None, read: Load, refuse: Refuse
) -> None:
    """An index at an address of our own is refused; another daemon beside us is none."""
    overrides = {"index_url": url, "server.listen": listen}
    if address is None:
        assert read(None, {}, overrides).settings.indexes[0].url == url
        return
    assert refuse(None, {}, overrides)["index.pypi.url"][0] == (
        f"leads to this very daemon, which listens on {address}"
    )


def test_index__names_of_two(read: Load) -> None:
    """Two indexes that own the same names are asked in their order, which is said."""
    index = '[[index]]\nname = "{0}"\nurl = "https://{0}.test/"\nprojects = ["{1}"]\n'
    text = index.format("a", "acme-*") + index.format("b", "Acme_*") + index.format("c", "acme")
    found = [warning for warning in read(text).warnings if "acme" in warning]
    assert found == [
        'projects = "acme-*" stands at the indexes a, b: they are asked in this order, and the '
        "first that has a project owns it"
    ]
