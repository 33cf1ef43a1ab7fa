"""Directories, sockets and the search for the configuration file."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from pypicached.errors import SettingsError
from pypicached.settings import Places, default_sockets, find_places, load
from pypicached.settings.places import find_file

from .conftest import Load


def write(path: Path) -> Path:
    """Put an empty configuration file at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


def test_directories__of_systemd(read: Load) -> None:
    """systemd's directories win over the user's, the first of a list; the ledger is state."""
    env = {
        "CACHE_DIRECTORY": "/var/cache/pypicached:/var/cache/other",
        "STATE_DIRECTORY": "/var/lib/pypicached",
        "RUNTIME_DIRECTORY": "/run/pypicached",
    }
    loaded = read(None, env)
    assert loaded.settings.cache.directory == Path("/var/cache/pypicached")
    assert loaded.settings.cache.ledger == Path("/var/lib/pypicached/ledger.sqlite")
    assert loaded.settings.server.control_socket == Path("/run/pypicached/control.sock")
    assert loaded.sources["cache.directory"] == "environment CACHE_DIRECTORY"


def test_ledger__beside_the_blobs(read: Load) -> None:
    """Without systemd the ledger follows the directory: one directory to copy or move."""
    settings = read('[cache]\ndirectory = "/srv/c"\n').settings
    assert settings.cache.ledger == Path("/srv/c/ledger.sqlite")


def test_control_socket__runtime_else_state(places: Places) -> None:
    """The socket is in the runtime directory, in the state directory where there is none."""
    with_runtime = msgspec.structs.replace(places, runtime=Path("/run/user/7/pypicached"))
    found = [
        load(None, {}, places=p).settings.server.control_socket for p in (with_runtime, places)
    ]
    assert found == [Path("/run/user/7/pypicached/control.sock"), places.state / "control.sock"]


def test_control_socket__variable_wins(read: Load) -> None:
    """PYPICACHED_SOCKET wins over the file, so that `serve` and its clients meet."""
    loaded = read('[server]\ncontrol_socket = "/a"\n', {"PYPICACHED_SOCKET": "/b"})
    assert loaded.settings.server.control_socket == Path("/b")
    assert loaded.sources["server.control_socket"] == "environment PYPICACHED_SOCKET"


def test_control_socket__default_too_long(places: Places) -> None:
    """A default that no socket can have is told, not left to fail at bind."""
    deep = msgspec.structs.replace(places, state=Path("/" + "d" * 120))
    with pytest.raises(SettingsError, match=r"server\.control_socket: a socket path"):
        load(None, {}, places=deep)


def test_default_sockets__order(places: Places) -> None:
    """Clients look at the user's own places, then at the system's; the variable stands alone."""
    with_runtime = msgspec.structs.replace(places, runtime=Path("/r"))
    assert default_sockets({}, with_runtime) == [
        Path("/r/control.sock"),
        places.state / "control.sock",
        places.system_socket,
    ]
    assert default_sockets({"PYPICACHED_SOCKET": "/x"}, places) == [Path("/x")]


def test_default_sockets__hold_the_default_of_serve(places: Places) -> None:
    """Where `serve` listens by default is where clients look first."""
    assert (
        default_sockets({}, places)[0]
        == load(None, {}, places=places).settings.server.control_socket
    )


def test_runtime_directory__only_ones_own(tmp_path: Path) -> None:
    """XDG_RUNTIME_DIR counts if it is there; a fresh container has none, and that is no error."""
    assert find_places({"XDG_RUNTIME_DIR": str(tmp_path)}).runtime == tmp_path / "pypicached"
    assert find_places({"XDG_RUNTIME_DIR": str(tmp_path / "no")}).runtime is None
    if os.geteuid() == 0:
        os.chown(tmp_path, 12_345, -1)
        assert find_places({"XDG_RUNTIME_DIR": str(tmp_path)}).runtime is None


def test_file__user_before_system_for_people(places: Places) -> None:
    """For a person one's own file comes first, then the system's; for the service the reverse."""
    service = msgspec.structs.replace(places, is_service=True)
    assert find_file(None, {}, places) is None
    write(places.system_file)
    assert find_file(None, {}, places) == places.system_file
    write(places.user_file)
    assert find_file(None, {}, places) == places.user_file
    assert find_file(None, {}, service) == places.system_file


def test_file__of_systemd_stands_alone(places: Places, tmp_path: Path) -> None:
    """Under systemd only the directory that it hands over counts, also when it is empty."""
    write(places.user_file)
    env = {"CONFIGURATION_DIRECTORY": str(tmp_path / "conf")}
    assert find_file(None, env, places) is None
    given = write(tmp_path / "conf" / "pypicached.toml")
    assert find_file(None, env, places) == given


def test_file__not_to_be_seen_is_not_absent(places: Places, tmp_path: Path) -> None:
    """Where the service cannot look for its file, and where it is a link to nowhere, is an error.

    Taken for absent, it would start with PyPI alone and without a rule.
    """
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(SettingsError) as refused:
        find_file(None, {"CONFIGURATION_DIRECTORY": str(loop)}, places)
    assert "cannot be read" in str(refused.value)
    assert find_file(None, {"CONFIGURATION_DIRECTORY": str(tmp_path)}, places) is None
    (tmp_path / "pypicached.toml").symlink_to("nowhere")
    with pytest.raises(SettingsError):
        load(None, {"CONFIGURATION_DIRECTORY": str(tmp_path)}, places=places)


def test_file__named_wins(places: Places, tmp_path: Path) -> None:
    """`--config` wins over every other place."""
    write(places.user_file)
    named = write(tmp_path / "named.toml")
    assert load(named, {"CONFIGURATION_DIRECTORY": "/x"}, places=places).path == named
