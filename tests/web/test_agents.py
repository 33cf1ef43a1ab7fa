"""Which tool a client says it is, of whatever it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypicached.web.agents import agent_of


@pytest.mark.parametrize(
    ("header", "agent"),
    [
        ('pip/23.0.1 {"ci":null,"cpu":"x86_64"}', "pip/23.0.1"),
        ('uv/0.9.1 {"installer":{"name":"uv"}}', "uv/0.9.1"),
        ("poetry/1.8.3 (Linux) CPython/3.11.2", "poetry/1.8.3"),
        ("pdm/2.20.1", "pdm/2.20.1"),
        ("python-requests/2.32.3", "python-requests/2.32.3"),
        ("curl/7.88.1", "curl/7.88.1"),
        ("Wget", "Wget"),
        (None, "unknown"),
        ("", "unknown"),
        (" pip/23.0.1", "unknown"),
        ("pip/", "unknown"),
        ("pip/1\x1b[2J", "unknown"),
        ("(compatible)", "unknown"),
        ("pípé/1", "unknown"),
        ("p" * 33, "unknown"),
        ("pip/" + "1" * 33, "unknown"),
        ("x/" * 10_000, "unknown"),
    ],
)
def test_agent__first_product(header: str | None, agent: str) -> None:
    """Tool and version are the first product; what is none, or too long, is "unknown"."""
    assert agent_of(header) == agent


@given(st.text())
def test_agent__any_header(header: str) -> None:
    """Whatever the header is, the agent is short and printable ASCII."""
    agent = agent_of(header)
    assert (0 < len(agent) <= 65, agent.isascii(), agent.isprintable()) == (True, True, True)
