"""Skips everything here unless PYPICACHED_LIVE=1, and lends the daemon this machine's network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeDaemon, directory, make_daemon
from tests.e2e.process import DaemonProcess

__all__ = ["directory", "make_daemon"]

# How this machine reaches the internet: its certificate authorities and its HTTP proxy.
_NETWORK = ("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the live tests unless they are asked for."""
    if os.environ.get("PYPICACHED_LIVE") == "1":
        return
    skip = pytest.mark.skip(reason="asks the real PyPI: make test-live")
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(skip)


@pytest.fixture
def live_daemon(make_daemon: MakeDaemon) -> DaemonProcess:
    """Return a daemon in front of its default upstream, PyPI."""
    names = [name for plain in _NETWORK for name in (plain, plain.lower())]
    network = {name: os.environ[name] for name in names if name in os.environ}
    return make_daemon(**network).start()
