"""`[[index]]`: URLs, credentials, and the secrets that must never be seen."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from pypicached.errors import SettingsError
from pypicached.settings import Secret, credential_files, rows, spell_toml
from pypicached.settings.schema import RESERVED_NAMES
from pypicached.settings.urls import PYPI_URL

from .conftest import Load, Refuse

URL = "https://index.example.test/simple/"
PASSWORD = "correct-horse"


def table(**keys: object) -> str:
    """Return the text of an index called acme; strings and lists of them."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in ({"url": URL} | keys).items()]
    return "\n".join(["[[index]]", 'name = "acme"', *lines, ""])


def test_index__in_file_order(read: Load) -> None:
    """Several indexes stay in file order; the name pypi needs no url."""
    indexes = read(table(projects=["Acme_*"]) + '[[index]]\nname = "pypi"\n').settings.indexes
    assert [(index.name, index.url) for index in indexes] == [("acme", URL), ("pypi", PYPI_URL)]
    assert indexes[0].projects == ("acme-*",)
    assert (indexes[0].timeout, indexes[0].connect_timeout, indexes[0].ttl) == (30.0, 5.0, None)


def test_index__url_forgotten(refuse: Refuse) -> None:
    """A private index whose url was forgotten does not become PyPI: its names would leak."""
    assert refuse('[[index]]\nname = "acme"\nprojects = ["acme-*"]\n') == {
        "index.acme.url": ("is missing", "give the root of its Simple API")
    }


@pytest.mark.parametrize("name", ["Acme", "-a", "a_b", "", "a\\n", *sorted(RESERVED_NAMES)])
def test_index_name__refused(refuse: Refuse, name: str) -> None:
    """Names are small letters, digits and hyphens, and none that the listener uses itself."""
    assert "index[1].name" in refuse(f'[[index]]\nname = "{name}"\nurl = "{URL}"\n')


def test_index_name__twice(refuse: Refuse) -> None:
    """Two indexes of one name are refused."""
    assert "another index" in refuse(table() + table())["index[2].name"][0]


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://h.test", "https://h.test/"),
        ("https://H.test/root", "https://h.test/root/"),
        ("http://[::1]:8080/s/", "http://[::1]:8080/s/"),
        ("https://h.test/%2B/simple", "https://h.test/%2B/simple/"),
    ],
)
def test_index_url__normal_form(read: Load, given: str, url: str) -> None:
    """A URL ends in a slash; its path is left as it is."""
    assert read(table(url=given)).settings.indexes[0].url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h.test/simple",
        "ftp://h.test/",
        "https:///simple/",
        "https://h.test/?q=1",
        "https://h.test/?",
        "https://h.test/#f",
        "https://h.test:port/",
        "https://h.test:99999/",
        "https://h.test/a b",
        "https://h.test/a\nb",
        "https://h.tést/",
        "https://[::1/",
        "https://:pw@h.test/",
    ],
)
def test_index_url__refused(refuse: Refuse, url: str) -> None:
    """Only http(s) URLs with a host and neither query nor fragment are roots of an index."""
    assert list(refuse(table(url=url))) == ["index.acme.url"]


def test_index_url__site_of_pypi(refuse: Refuse) -> None:
    """PyPI's site without /simple is refused with the URL that was meant."""
    site = PYPI_URL.removesuffix("simple/")
    assert refuse(table(url=site))["index.acme.url"] == (
        "is PyPI's site, not its Simple API",
        f'write "{PYPI_URL}"',
    )


def test_credentials__taken_out_of_the_url(read: Load) -> None:
    """`user:password@` becomes username and password, percent-decoded, and leaves the URL."""
    index = read(table(url=f"https://me%40x:p%3A{PASSWORD}@h.test/s")).settings.indexes[0]
    assert (index.url, index.username) == ("https://h.test/s/", "me@x")
    secret = index.read_secret()
    assert secret is not None
    assert secret.reveal() == f"p:{PASSWORD}"
    assert index.authentication == "basic"


def test_credentials__from_the_environment(read: Load) -> None:
    """PYPICACHED_INDEX_URL is one index called pypi, instead of those of the file; that is said."""
    env = {"PYPICACHED_INDEX_URL": f"https://me:{PASSWORD}@h.test/s/"}
    loaded = read(table(), env)
    (index,) = loaded.settings.indexes
    assert (index.name, index.url, index.username) == ("pypi", "https://h.test/s/", "me")
    assert loaded.sources["index.pypi.url"] == "environment PYPICACHED_INDEX_URL"
    assert loaded.warnings == [
        "PYPICACHED_INDEX_URL replaces every [[index]] of the configuration file"
    ]


def test_credentials__refused_on_the_command_line(refuse: Refuse) -> None:
    """Everybody can read a command line, so credentials there are refused with a hint."""
    found = refuse(None, {}, {"index_url": f"https://me:{PASSWORD}@h.test/s/"})
    assert "PYPICACHED_INDEX_URL" in found["--index-url"][1]
    assert PASSWORD not in str(found)


def test_index_url__command_line(read: Load) -> None:
    """`--index-url` wins over environment and file."""
    env = {"PYPICACHED_INDEX_URL": "https://env.test/"}
    loaded = read(table(), env, {"index_url": "https://line.test/"})
    assert [index.url for index in loaded.settings.indexes] == ["https://line.test/"]
    assert loaded.sources["index.pypi.url"] == "command line"


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"username": "u", "token": "t"}, "index.acme.token"),
        ({"username": "u", "password": "p", "password_file": "/dev/null"}, "index.acme.password"),
        ({"token": "t", "token_file": "/dev/null"}, "index.acme.token"),
        ({"password": "p"}, "index.acme.username"),
        ({"username": "a:b", "password": "p"}, "index.acme.username"),
        ({"url": "https://u:p@h.test/", "username": "u"}, "index.acme.url"),
        ({"url": "https://u:p@h.test/", "token": "t"}, "index.acme.token"),
        ({"username": "u", "password": "a\nb"}, "index.acme.password"),
        ({"username": "u", "password_file": "/nowhere/pw"}, "index.acme.password_file"),
        ({"ca_file": "/"}, "index.acme.ca_file"),
        ({"client_cert": "/"}, "index.acme.client_cert"),
        ({"client_key": "/dev/null"}, "index.acme.client_cert"),
        ({"client_cert": "/dev/null", "url": "http://h.test/s/"}, "index.acme.client_cert"),
        ({"allow_addresses": ["10.0.0.1/8"]}, "index.acme.allow_addresses"),
        ({"allow_addresses": "10.0.0.0/8"}, "index.acme.allow_addresses"),
        ({"cold_deadline": 0}, "index.acme.cold_deadline"),
        ({"projects": ["a b"]}, "index.acme.projects"),
        ({"exclude": "acme-*"}, "index.acme.exclude"),
    ],
)
def test_index__combinations_refused(refuse: Refuse, keys: dict[str, object], key: str) -> None:
    """Credentials are given once and of one kind; files must be there; globs are names."""
    assert key in refuse(table(**keys))


def test_secret_file__read_on_demand(read: Load, tmp_path: Path) -> None:
    """A secret's file is read at each call, so that a new one is seen; the line end is no part."""
    file = tmp_path / "token"
    file.write_text(f"{PASSWORD}\n")
    index = read(table(token_file="token")).settings.indexes[0]
    assert index.authentication == "bearer"
    assert index.read_secret() == Secret(PASSWORD)
    file.write_text("rotated")
    assert index.read_secret() == Secret("rotated")


@pytest.mark.parametrize("content", [b"", b"two\nlines\n", b"\xff", b"x" * 70_000])
def test_secret_file__unusable(read: Load, tmp_path: Path, content: bytes) -> None:
    """A file that holds anything but one line is refused when read, by its path only."""
    (tmp_path / "token").write_bytes(content)
    index = read(table(token_file="token")).settings.indexes[0]
    with pytest.raises(SettingsError, match="token cannot be used") as caught:
        index.read_secret()
    assert caught.value.problems[0][0] == "index.acme.token_file"


def test_secret_file__systemd_credential(read: Load) -> None:
    """A systemd credential is not there while the service is not running: a warning then."""
    keys = {"token_file": "/run/credentials/pypicached.service/none"}
    assert read(table(**keys)).warnings == [
        "index.acme.token_file: /run/credentials/pypicached.service/none exists only while the "
        "service runs, and if its unit hands it over"
    ]


def test_secret_file__credential_to_come(
    read: Load, refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may look where the service's credentials come from is told whether this one will come."""
    source, place = tmp_path / "credentials", tmp_path / "run" / "pypicached.service"
    monkeypatch.setattr(credential_files, "_SOURCE", source)
    monkeypatch.setattr(credential_files, "_PLACE", place.parent)
    monkeypatch.setattr(credential_files, "_SERVICE", place)
    text = table(token_file="$CREDENTIALS_DIRECTORY/cred_acme")
    assert "only while the service runs" in read(text).warnings[0]
    source.mkdir()
    assert refuse(text)["index.acme.token_file"] == (
        "systemd has handed over no credential cred_acme",
        f"give it as {source}/acme, and restart",
    )
    (source / "acme").touch()
    assert read(text).warnings == []
    place.mkdir(parents=True)
    assert read(text).warnings == [
        "index.acme.token_file: cred_acme is handed over at the next start of the service"
    ]


def test_secret_file__credential_by_its_variable(read: Load, tmp_path: Path) -> None:
    """`$CREDENTIALS_DIRECTORY/NAME` is a systemd credential; in a shell, where ours would be."""
    (tmp_path / "cred_acme").write_text(PASSWORD)
    keys = {"token_file": "$CREDENTIALS_DIRECTORY/cred_acme"}
    loaded = read(table(**keys), {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert loaded.settings.indexes[0].read_secret() == Secret(PASSWORD)
    loaded = read(table(**keys))
    path = "/run/credentials/pypicached.service/cred_acme"
    assert loaded.warnings == [f"index.acme.token_file: {path} exists only while the service runs"]


def test_tls_files__credentials(read: Load, tmp_path: Path) -> None:
    """Certificates and their keys may be systemd credentials too."""
    names = ("ca_file", "client_cert", "client_key")
    for name in names:
        (tmp_path / f"cred_{name}").touch()
    keys = {name: f"$CREDENTIALS_DIRECTORY/cred_{name}" for name in names}
    loaded = read(table(**keys), {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    index = loaded.settings.indexes[0]
    found = [index.ca_file, index.client_cert, index.client_key]
    assert found == [tmp_path / f"cred_{name}" for name in names]


@pytest.mark.parametrize(
    "name", ["password_file", "token_file", "ca_file", "client_cert", "client_key"]
)
def test_secret_file__missing_credential(refuse: Refuse, tmp_path: Path, name: str) -> None:
    """A credential that the service was not handed is told by its name, with where to put it."""
    key = f"index.acme.{name}"
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    said = refuse(table(**{name: "$CREDENTIALS_DIRECTORY/cred_acme"}), env)
    assert said[key] == (
        "systemd has handed over no credential cred_acme",
        "give it as /etc/pypicached/credentials/acme, and restart",
    )
    said = refuse(table(**{name: "$CREDENTIALS_DIRECTORY/acme"}), env)
    assert said[key][1] == "give it by LoadCredential= in its unit, and restart"


def test_index__settings_of_its_own(read: Load) -> None:
    """Deadlines and allowed addresses are each index's own, and shown as they were given."""
    keys = {"cold_deadline": "1m", "file_deadline": "2m", "page_deadline": "20s"}
    loaded = read(table(allow_addresses=["10.0.0.0/8", "fd00::1"], **keys))
    shown = {row.key.removeprefix("index.acme."): row.value for row in rows(loaded)}
    assert keys.items() <= shown.items()
    assert shown["allow_addresses"] == ["10.0.0.0/8", "fd00::1/128"]


def test_secrets__never_seen(read: Load) -> None:
    """No repr, format, row or spelled line shows a secret; JSON encoders cannot see through."""
    loaded = read(
        table(username="me", password=PASSWORD)
        + f'[[index]]\nname = "b"\nurl = "https://h.test/"\ntoken = "{PASSWORD}"\n'
        + f'[[index]]\nname = "c"\nurl = "https://{PASSWORD}@h.test/"\n'
    )
    shown = [
        repr(loaded),
        str(loaded.settings),
        f"{loaded.settings.indexes}",
        repr(rows(loaded)),
        spell_toml(rows(loaded)),
    ]
    assert [text for text in shown if PASSWORD in text] == []
    assert 'password = "********"' in shown[-1]
    with pytest.raises(TypeError):
        msgspec.json.encode(loaded.settings.indexes[0])


@pytest.mark.parametrize(
    "text",
    [
        table(url=f"https://me:{PASSWORD}@h.test/?q"),
        table(url=f"ftp://me:{PASSWORD}@h.test/"),
        table(url=f"https://me:{PASSWORD}@h.test:x/"),
        table(username="me", password=[PASSWORD]),
        table(username="me", password=f"{PASSWORD}\n"),
        table(passwort=PASSWORD),
    ],
)
def test_secrets__not_in_problems(refuse: Refuse, text: str) -> None:
    """No problem quotes a value that may be or hold a secret."""
    assert PASSWORD not in str(refuse(text))


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://u:p@h.test/", True),
        ("http://u:p@127.0.0.1/", False),
        ("http://u:p@localhost/", False),
        ("https://u:p@h.test/", False),
        ("http://h.test/", False),
    ],
)
def test_credentials__in_clear(read: Load, url: str, warned: bool) -> None:
    """Credentials over plain HTTP beyond loopback are a warning."""
    assert bool(read(table(url=url + "simple/")).warnings) == warned


def test_index__without_a_path(read: Load) -> None:
    """A URL without a path is most likely one whose /simple/ was forgotten: a warning."""
    assert "/simple/" in read(table(url="https://h.test/")).warnings[0]
    assert read(table(url="https://h.test/simple/")).warnings == []


def test_index__checked_where_it_loses(refuse: Refuse) -> None:
    """A bad index of the file is told even if PYPICACHED_INDEX_URL takes its place."""
    env = {"PYPICACHED_INDEX_URL": "https://env.test/"}
    assert list(refuse(table(ttl="soon"), env)) == ["index.acme.ttl"]


@pytest.mark.parametrize(("more", "warned"), [("", True), ('[[index]]\nname = "pypi"\n', False)])
def test_index__nobody_answers_for_the_rest(read: Load, more: str, warned: bool) -> None:
    """Where every index claims names, it is said that no other name is found."""
    own = '[[index]]\nname = "acme"\nurl = "https://acme.test/simple/"\nprojects = ["acme-*"]\n'
    warnings = read(own + more).warnings
    assert any("other names are not found" in warning for warning in warnings) is warned


@pytest.mark.parametrize("path", ["//simple/", "/simple//", "/a//b"])
def test_url__two_slashes_in_a_row(refuse: Refuse, path: str) -> None:
    """Most servers have nothing there: each project would be taken for absent."""
    found = refuse(f'[[index]]\nname = "a"\nurl = "https://h.test{path}"\n')
    assert "two slashes in a row" in found["index.a.url"][0]
