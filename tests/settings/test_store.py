"""`[store]` and `[store.s3]`: a section within a section, a bucket, and the key to it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pypicached.cli.config import app
from pypicached.errors import SettingsError
from pypicached.plain import bucket_of
from pypicached.settings import Change, credential_files, differences, rows, spell_toml

from .conftest import Load, Refuse

SECRET = "correct-horse"
BUCKET = f"""
[store]
kind = "s3"
[store.s3]
bucket = "wheels"
prefix = "fleet/one"
endpoint_url = "https://s3.example.test:9000/"
access_key_id = "AKID"
secret_access_key = "{SECRET}"
serve = "redirect"
redirect_status = 307
"""


def test_store__none_by_default(read: Load) -> None:
    """Without a word of it there is no bucket."""
    store = read().settings.store
    assert (store.kind, store.s3.bucket, store.s3.serve) == ("local", None, "proxy")
    assert bucket_of(store) is None


def test_store__from_a_file(read: Load, tmp_path: Path) -> None:
    """`[store.s3]` stands in the file as such; a prefix ends in a slash, an endpoint does not."""
    loaded = read(BUCKET)
    s3 = loaded.settings.store.s3
    assert (s3.bucket, s3.prefix, s3.redirect_status) == ("wheels", "fleet/one/", 307)
    assert s3.endpoint_url == "https://s3.example.test:9000"
    assert loaded.sources["store.s3.bucket"] == f"file {tmp_path / 'given.toml'}"
    assert loaded.sources["store.s3.region"] == "default"
    assert loaded.warnings == []


def test_store__from_the_environment(read: Load) -> None:
    """Each has its variable, with two underscores for each dot."""
    env = {
        "PYPICACHED_STORE__KIND": "s3",
        "PYPICACHED_STORE__S3__BUCKET": "other",
        "PYPICACHED_STORE__S3__REDIRECT_STATUS": "308",
        "PYPICACHED_STORE__S3__BUKCET": "x",
    }
    loaded = read(BUCKET, env)
    assert loaded.settings.store.s3.bucket == "other"
    assert loaded.settings.store.s3.redirect_status == 308
    assert loaded.sources["store.s3.bucket"] == "environment PYPICACHED_STORE__S3__BUCKET"
    assert loaded.warnings == [
        "environment variable PYPICACHED_STORE__S3__BUKCET is unknown and ignored; "
        'did you mean "PYPICACHED_STORE__S3__BUCKET"?'
    ]


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ('public_url = "https://a.test"', 'public_url is of no use without serve = "redirect"'),
        ("redirect_status = 307", 'redirect_status is of no use without serve = "redirect"'),
        ('endpoint_url = "https://a.test/wheels"', "endpoint_url ends in the bucket's name"),
    ],
)
def test_store__of_no_use(read: Load, line: str, warning: str) -> None:
    """What does nothing, or is said twice, is told."""
    text = f'[store]\nkind = "s3"\n[store.s3]\nbucket = "wheels"\n{line}\n'
    (found,) = read(text).warnings
    assert warning in found


def test_store__a_bad_bucket_is_told_once(refuse: Refuse) -> None:
    """A name that is none is not missing, too."""
    found = refuse('[store]\nkind = "s3"\n[store.s3]\nbucket = "s3://wheels"\n')
    assert list(found) == ["store.s3.bucket"]
    assert "is no bucket" in found["store.s3.bucket"][0]


@pytest.mark.parametrize(
    ("text", "key", "message", "hint"),
    [
        ('[store.s3]\nbukcet = "a"', "store.s3.bukcet", "unknown key", 'did you mean "bucket"?'),
        ('[store]\nbucket = "abc"', "store.bucket", "unknown key", "it belongs into [store.s3]"),
        ('[store]\nbukcet = "abc"', "store.bukcet", "unknown key", "store.s3.bucket"),
        ('[store.s3]\nkind = "s3"', "store.s3.kind", "unknown key", "it belongs into [store]"),
        ('[store.s3]\nlisten = "s"', "store.s3.listen", "unknown key", "it belongs into [server]"),
        ('[s3]\nbucket = "abc"', "s3", "unknown section", 'did you mean "store.s3"?'),
        ('["store.s3"]\nbucket = "abc"', "store.s3", "unknown section", 'did you mean "store'),
        ('[store.s4]\nbucket = "abc"', "store.s4", "unknown key", ""),
        ('[store]\ns3 = "abc"', "store.s3", "must be a table, not text", "write [store.s3]"),
        ('[store.s3.bucket]\nx = "abc"', "store.s3.bucket", "must be text in quotes", ""),
    ],
)
def test_store__unknown(refuse: Refuse, text: str, key: str, message: str, hint: str) -> None:
    """What is no setting is told with the nearest one, also where a section is in another."""
    found = refuse(text)[key]
    assert message in found[0]
    assert hint in found[1]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('bucket = "s3://wheels"', '"s3://wheels" is no bucket, or more than one'),
        ('bucket = "wheels/python"', "give its name, and the rest as prefix"),
        ('bucket = "a"', '"a" is no name of a bucket'),
        ('bucket = "a b c"', "is no name of a bucket"),
        ("bucket = 7", "must be text in quotes"),
        ('prefix = "/abs"', '"/abs" is no prefix of keys'),
        ('prefix = "a//b"', "single slashes"),
        ('prefix = "a/../b"', "is no prefix of keys"),
        ('prefix = "ä"', "is no prefix of keys"),
        ('endpoint_url = "s3.example.test"', "must begin with https:// or http://"),
        ('endpoint_url = "https://"', "has no host"),
        ('endpoint_url = "https://s3.example.test:port"', "its host or port is malformed"),
        ('endpoint_url = "https://s3.example.test/?x=1"', "has a query or a fragment"),
        ('endpoint_url = "https://s3.example.test/ä"', "has characters that a URL cannot have"),
        ("endpoint_url = 7", "must be text in quotes, not a number"),
        ('region = "eu central"', '"eu central" is no region'),
        ('addressing = "host"', '"host" is not "auto" or "path" or "virtual"'),
        ('serve = "redirects"', 'did you mean "redirect"?'),
        ("redirect_status = 303", "303 is not 301, 302, 307, 308"),
        ('redirect_status = "302"', 'must be a number without quotes, not "302"'),
        ("redirect_status = true", "must be a number without quotes"),
        ('public_url = "ftp://cdn.example.test"', "must begin with https:// or http://"),
    ],
)
def test_store__refused_in_words(refuse: Refuse, line: str, words: str) -> None:
    """A value that a setting of a bucket cannot have is refused with what it is."""
    name = line.partition(" ")[0]
    assert words in " ".join(refuse(f"[store.s3]\n{line}\n")[f"store.s3.{name}"])


def test_store__endpoint_with_a_password(refuse: Refuse) -> None:
    """Credentials in an endpoint are refused, and not repeated."""
    for key in ("endpoint_url", "public_url"):
        text = f'[store.s3]\n{key} = "https://me:{SECRET}@s3.example.test"'
        found = refuse(text)[f"store.s3.{key}"]
        assert found == ("has credentials, which do not belong there", "leave them off")


@pytest.mark.parametrize(
    ("lines", "key", "message"),
    [
        ((), "bucket", "is missing, and the store is a bucket"),
        (
            ('access_key_id = "a"', 'secret_access_key = "b"', 'secret_access_key_file = "f"'),
            "secret_access_key",
            "there is a secret_access_key_file too",
        ),
        (('access_key_id = "a"',), "secret_access_key_file", "is missing; there is an access_key"),
        (('secret_access_key = "b"',), "access_key_id", "is missing; there is a secret_access_key"),
        (('secret_access_key_file = "f"',), "access_key_id", "there is a secret_access_key_file"),
        (
            ('access_key_id = "a"', 'secret_access_key_file = "gone"'),
            "secret_access_key_file",
            "gone does not exist",
        ),
    ],
)
def test_store__together(
    refuse: Refuse, tmp_path: Path, lines: tuple[str, ...], key: str, message: str
) -> None:
    """A bucket has a name; a key has both its halves, and its secret once."""
    (tmp_path / "f").write_text("secret")
    text = "\n".join(('[store]\nkind = "s3"\n[store.s3]', *lines))
    assert message in refuse(text)[f"store.s3.{key}"][0]


def test_store__bucket_without_its_kind(read: Load) -> None:
    """A bucket that nobody uses is a slip, of which one hears."""
    loaded = read('[store.s3]\nbucket = "wheels"')
    assert loaded.warnings == ['store.s3.bucket is of no use without [store] kind = "s3"']
    assert bucket_of(loaded.settings.store) is None


def test_store__secret_from_a_file(read: Load, tmp_path: Path) -> None:
    """The secret may be in a file, beside the configuration or among systemd's credentials."""
    (tmp_path / "cred_s3").write_text(f"{SECRET}\n")
    text = BUCKET.replace(f'secret_access_key = "{SECRET}"', 'secret_access_key_file = "{}"')
    for path in ("cred_s3", "$CREDENTIALS_DIRECTORY/cred_s3"):
        env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
        access = bucket_of(read(text.replace("{}", path), env).settings.store)
        assert access is not None
        assert access.secret_access_key == SECRET
    (tmp_path / "cred_s3").write_text("two\nlines\n")
    with pytest.raises(SettingsError, match="must hold one line") as caught:
        bucket_of(read(text.replace("{}", "cred_s3")).settings.store)
    assert caught.value.problems[0][0] == "store.s3.secret_access_key_file"


def test_store__credential_to_come(
    read: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A credential of the service is not there while that does not run: a warning in a shell."""
    monkeypatch.setattr(credential_files, "_SOURCE", tmp_path / "none")
    text = BUCKET.replace(
        f'secret_access_key = "{SECRET}"',
        'secret_access_key_file = "$CREDENTIALS_DIRECTORY/cred_s3"',
    )
    assert read(text).warnings == [
        "store.s3.secret_access_key_file: /run/credentials/pypicached.service/cred_s3 exists only "
        "while the service runs"
    ]


def test_store__secret_is_hidden(read: Load) -> None:
    """The secret is in nothing that is printed: not in rows, not in what a part is shown as."""
    loaded = read(BUCKET)
    access = bucket_of(loaded.settings.store)
    assert access is not None
    shown = [spell_toml(rows(loaded)), repr(loaded), repr(access), f"{access}", str([access])]
    assert not [text for text in shown if SECRET in text]
    assert access.secret_access_key == SECRET
    assert access.identity == "https://s3.example.test:9000/wheels/fleet/one/"


def test_store__spelled_and_read_back(read: Load) -> None:
    """What `config show` prints is the same configuration, sections within sections included."""
    loaded = read(BUCKET)
    text = spell_toml(rows(loaded))
    assert tomllib.loads(text)["store"]["s3"]["redirect_status"] == 307
    again = read(text.replace("********", SECRET))
    assert again.settings == loaded.settings


def test_store__changes(read: Load) -> None:
    """A change of a setting in an inner section is told by its whole name."""
    old, new = read(BUCKET).settings, read(BUCKET.replace("wheels", "other")).settings
    assert differences(old, new) == [Change("store.s3.bucket")]


def test_check__unusable_secret(tmp_path: Path) -> None:
    """`config check` tells of a file whose content is no secret."""
    (tmp_path / "s3").write_text("two\nlines")
    file = tmp_path / "pypicached.toml"
    file.write_text(
        '[store]\nkind = "s3"\n[store.s3]\nbucket = "wheels"\n'
        'access_key_id = "a"\nsecret_access_key_file = "s3"\n'
        f'[cache]\ndirectory = "{tmp_path}"\n'
    )
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 2
    assert f"store.s3.secret_access_key_file: {tmp_path / 's3'} cannot be used" in result.stderr
