"""A host of one's own for the settings tests: its directories are below tmp_path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pypicached.errors import SettingsError
from pypicached.settings import Loaded, Places, load

Load = Callable[..., Loaded]
Refuse = Callable[..., dict[str, tuple[str, str]]]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Return the places of a user who has no configuration file and no runtime directory."""
    return Places(
        cache=tmp_path / "cache",
        state=tmp_path / "state",
        runtime=None,
        user_file=tmp_path / "home" / "pypicached.toml",
        system_file=tmp_path / "etc" / "pypicached.toml",
        system_socket=tmp_path / "run" / "control.sock",
    )


@pytest.fixture
def read(tmp_path: Path, places: Places) -> Load:
    """Return a function that loads TOML text, an environment and a command line."""

    def read_text(
        text: str | None = None,
        env: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> Loaded:
        path = None
        if text is not None:
            path = tmp_path / "given.toml"
            path.write_text(text)
        return load(path, env or {}, overrides, places=places)

    return read_text


@pytest.fixture
def refuse(read: Load) -> Refuse:
    """Return a function that loads like `read` and returns key → (message, suggestion)."""

    def refuse_text(*args: object) -> dict[str, tuple[str, str]]:
        with pytest.raises(SettingsError) as caught:
            read(*args)
        return {key: (message, hint) for key, message, hint in caught.value.problems}

    return refuse_text
