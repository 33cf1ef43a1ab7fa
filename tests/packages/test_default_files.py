"""/etc/pypicached/pypicached.toml and /etc/default/pypicached as the package brings them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import wheels

from pypicached.settings import Loaded, Places, load
from pypicached.settings.schema import INDEX_KEYS, known_keys

_DEBIAN = wheels.ROOT / "packaging" / "debian"
_TOML = (_DEBIAN / "pypicached.toml").read_text()
# A setting that is commented out; comments proper have a space behind the sign.
_SETTING = re.compile(r"^#(?=\[\[|[a-z_]+ = )", re.MULTILINE)
# The control socket is that of its unit.
_LEFT_OUT = {"server.control_socket"}


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Return the places of the service's user, who has no file of its own."""
    nowhere = tmp_path / "nowhere"
    return Places(
        cache=nowhere, state=nowhere, runtime=None, user_file=nowhere / "pypicached.toml",
        system_file=nowhere / "pypicached.toml", is_service=True,
    )  # fmt: skip


def _load(tmp_path: Path, places: Places, text: str) -> Loaded:
    (tmp_path / "pypicached.toml").write_text(text)
    credentials = tmp_path / "credentials"
    credentials.mkdir(exist_ok=True)
    for name in ("acme", "s3"):
        (credentials / f"cred_{name}").write_text("secret")
    env = {
        "CONFIGURATION_DIRECTORY": str(tmp_path),
        "CACHE_DIRECTORY": "/var/cache/pypicached",
        "STATE_DIRECTORY": "/var/lib/pypicached",
        "CREDENTIALS_DIRECTORY": str(credentials),
    }
    return load(None, env, places=places)


def _keys(text: str) -> list[str]:
    """Return `section.key` of each line that is, or would be, a setting."""
    found, section = [], ""
    for line in _SETTING.sub("", text).splitlines():
        if header := re.match(r"\[+([\w.]+)\]", line):
            section = header[1]
        elif key := re.match(r"([a-z_]+) = ", line):
            found.append(f"{section}.{key[1]}")
    return found


def test_toml__changes_nothing(tmp_path: Path, places: Places) -> None:
    """As it comes, the file sets nothing: an upgrade may change a default."""
    shipped, empty = _load(tmp_path, places, _TOML), _load(tmp_path, places, "")
    assert (shipped.settings, shipped.sources) == (empty.settings, empty.sources)


def test_toml__shows_the_defaults(tmp_path: Path, places: Places) -> None:
    """Each value that is commented out is the one that holds without it."""
    before, _, indexes = _TOML.partition("# Without any [[index]]")
    after = indexes[indexes.index("\n[limits]") :]
    shown = _load(tmp_path, places, _SETTING.sub("", before + after))
    assert shown.settings == _load(tmp_path, places, "").settings
    assert not shown.warnings


def test_toml__every_setting() -> None:
    """A setting that is new in the schema has to be in the file, once, and none that is gone."""
    keys = [key for key in _keys(_TOML) if not key.startswith("index.")]
    assert sorted(keys) == sorted(set(known_keys()) - _LEFT_OUT)
    of_index = {key.removeprefix("index.") for key in _keys(_TOML) if key.startswith("index.")}
    assert of_index <= set(INDEX_KEYS)


def test_toml__its_indexes_work(tmp_path: Path, places: Places) -> None:
    """The examples of indexes are right as they stand, the credential's path included."""
    indexes = _load(tmp_path, places, _all_of_it()).settings.indexes
    assert [(index.name, index.authentication) for index in indexes] == [
        ("pypi", "none"),
        ("acme", "bearer"),
    ]


def test_toml__its_bucket_works(tmp_path: Path, places: Places) -> None:
    """So is the example of a bucket, its credential included; its defaults are those that hold."""
    made = _load(tmp_path, places, _all_of_it()).settings.store.s3
    secret = made.read_secret()
    assert secret is not None
    assert (made.access_key_id, secret.reveal()) == ("AKIDEXAMPLE", "secret")
    plain = _load(tmp_path, places, "").settings.store.s3
    for name in ("prefix", "addressing", "serve", "redirect_status"):
        assert getattr(made, name) == getattr(plain, name)


def _all_of_it() -> str:
    """Return the file with every setting in force, but for a secret that stands there twice."""
    once = re.sub(r"^#secret_access_key = .*\n", "", _TOML, flags=re.MULTILINE)
    return _SETTING.sub("", once)


def test_default__sets_nothing() -> None:
    """/etc/default/pypicached has comments only, and variables that exist."""
    lines = (_DEBIAN / "pypicached.default").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []
    sections = [key.replace(".", "__").upper() for key in known_keys()]
    named = re.findall(r"#PYPICACHED_(\w+)=", "\n".join(lines))
    assert named
    assert set(named) <= set(sections)
