"""`~/.netrc` as the last place where an index's credentials may be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pypicached.errors import SettingsError
from pypicached.settings import Index, Secret, rows

from .conftest import Load

URL = "https://index.vendor.net:8443/simple/"
PASSWORD = "correct-horse"
NETRC = f"machine index.vendor.net login me password {PASSWORD}\n"


def table(**keys: object) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in ({"url": URL} | keys).items()]
    return "\n".join(["[[index]]", 'name = "acme"', *lines, ""])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory with a .netrc."""
    (tmp_path / ".netrc").write_text(NETRC)
    return tmp_path


def index_of(read: Load, home: Path, **keys: object) -> Index:
    index = read(table(**keys), {"HOME": str(home)}).settings.indexes[0]
    assert isinstance(index, Index)
    return index


def test_netrc__entry_of_the_host(read: Load, home: Path) -> None:
    """An index without credentials has those of its host, and `config show` says from where."""
    loaded = read(table(), {"HOME": str(home)})
    index = loaded.settings.indexes[0]
    assert (index.authentication, index.username) == ("basic", "me")
    assert index.read_secret() == Secret(PASSWORD)
    shown = {row.key: (row.value, row.source) for row in rows(loaded)}
    assert shown["index.acme.password"] == ("********", f"file {home / '.netrc'}")
    assert PASSWORD not in repr(loaded)


def test_netrc__named_by_the_variable(read: Load, home: Path, tmp_path: Path) -> None:
    """NETRC names another file."""
    other = tmp_path / "other"
    other.write_text("machine index.vendor.net login you password secret2\n")
    loaded = read(table(), {"HOME": str(home), "NETRC": str(other)})
    assert loaded.settings.indexes[0].username == "you"


def test_netrc__credential(read: Load, home: Path, tmp_path: Path) -> None:
    """NETRC may name a systemd credential, by a variable that no shell replaces in a unit."""
    (tmp_path / "cred_netrc").write_text("machine index.vendor.net login she password p\n")
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path), "NETRC": "$CREDENTIALS_DIRECTORY/cred_netrc"}
    assert read(table(), env).settings.indexes[0].username == "she"


@pytest.mark.parametrize(
    "keys",
    [
        {"token": "t0ken"},
        {"username": "explicit", "password": "p"},
        {"url": "https://explicit:p@index.vendor.net/simple/"},
    ],
)
def test_netrc__settings_win(read: Load, home: Path, keys: dict[str, object]) -> None:
    """Credentials in the settings are used, and no netrc."""
    assert index_of(read, home, **keys).username in (None, "explicit")


@pytest.mark.parametrize(
    "text",
    [
        "machine other.vendor.net login me password correct-horse\n",
        "default login me password correct-horse\n",
        "machine vendor.net login me password correct-horse\n",
    ],
)
def test_netrc__other_hosts_and_default(read: Load, home: Path, text: str) -> None:
    """Only an entry of the very host is one: not of a domain, not the default."""
    (home / ".netrc").write_text(text)
    assert index_of(read, home).authentication == "none"


def test_netrc__read_again(read: Load, home: Path) -> None:
    """The password is read again when it is asked for; a file that went bad says so, unquoted."""
    index = index_of(read, home)
    (home / ".netrc").write_text(NETRC.replace(PASSWORD, "rotated"))
    assert index.read_secret() == Secret("rotated")
    (home / ".netrc").write_text(f"machine index.vendor.net {PASSWORD}")
    with pytest.raises(SettingsError) as caught:
        index.read_secret()
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"machine x correct-horse\n", b"\xff\xfe", b"machine index.vendor.net\n"]
)
def test_netrc__unusable(read: Load, home: Path, content: bytes) -> None:
    """A file that cannot be used is one warning, which quotes nothing of it."""
    (home / ".netrc").write_bytes(content)
    text = table() + table().replace("acme", "second")
    loaded = read(text, {"HOME": str(home)})
    assert [index.authentication for index in loaded.settings.indexes] == ["none", "none"]
    (warning,) = loaded.warnings
    assert ".netrc" in warning
    assert PASSWORD not in warning


def test_netrc__none(read: Load, tmp_path: Path) -> None:
    """No file is no problem; one that NETRC names and is not there is a warning."""
    assert read(table(), {"HOME": str(tmp_path)}).warnings == []
    env = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "gone")}
    assert "gone" in read(table(), env).warnings[0]
