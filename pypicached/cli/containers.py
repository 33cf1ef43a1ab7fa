"""Recipes for builds in containers, which cannot reach the loopback of their host. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pypicached.cli.address import Address

# Docker's default bridge; `docker network inspect bridge` tells of another.
_BRIDGE = "172.17.0.1"
# The name that `host-gateway` gives the host inside a build (Docker 20.10 and later).
_HOST_NAME = "host.docker.internal"
_DROP_IN = "/etc/systemd/system/pypicached.socket.d/docker.conf"


def recipe_docker(address: Address) -> list[str]:
    """Return how the cache gets onto the bridge, the Dockerfile's lines and the build's."""
    seen = seen_by_build(address)
    return [
        *(_bridge_listener(address) if address.is_loopback else []),
        "# In the Dockerfile, in each stage that installs; never ENV, which stays in the",
        "# image:",
        "#   ARG PIP_INDEX_URL",
        *(["#   ARG PIP_TRUSTED_HOST"] if seen.needs_trust else []),
        "#   ARG UV_DEFAULT_INDEX",
        "",
        *_build_line(address, seen),
    ]


def seen_by_build(address: Address) -> Address:
    """Return where a build finds the cache."""
    return address.at(_HOST_NAME) if address.is_loopback else address


def _bridge_listener(address: Address) -> list[str]:
    listen = address.at(_BRIDGE).netloc
    return [
        f"# Builds reach this host at the address of Docker's bridge, {_BRIDGE} unless",
        "# `docker network inspect bridge` says otherwise. Let pypicached listen there,",
        f"# too, by {_DROP_IN}:",
        "#   [Socket]",
        f"#   ListenStream={listen}",
        "#   FreeBind=yes",
        "# systemctl daemon-reload",
        "# pypicached config check && systemctl restart pypicached.socket pypicached",
        "# (Without systemd, or where [server] listen is set: instead, add to that",
        f'# "{listen}".)',
        "# Every container on that bridge can then read what the cache serves.",
        "",
    ]


def _build_line(address: Address, seen: Address) -> list[str]:
    arguments = [f"--add-host={_HOST_NAME}:host-gateway"] if address.is_loopback else []
    arguments.append(f"--build-arg PIP_INDEX_URL={seen.index_url}")
    if seen.needs_trust:
        arguments.append(f"--build-arg PIP_TRUSTED_HOST={seen.host}")
    arguments.append(f"--build-arg UV_DEFAULT_INDEX={seen.index_url}")
    lines = ["docker build", *(f"  {argument}" for argument in arguments), "  ."]
    return [*(f"{line} \\" for line in lines[:-1]), lines[-1]]


def recipe_gitlab_runner(
    address: Address, variables: Callable[[Address], Mapping[str, str]]
) -> list[str]:
    """Return the `environment` of a runner, for jobs on the host and in containers."""
    lines = [
        "# GitLab Runner: in its config.toml, in each [[runners]] (a table may have one",
        "# `environment` only: add to the one that is there).",
    ]
    if not address.is_loopback:
        return [*lines, *_environment(variables(address))]
    return [
        *lines,
        '# executor = "shell":',
        *_environment(variables(address)),
        "",
        f'# executor = "docker": jobs reach this host at its bridge address, {_BRIDGE};',
        "# let pypicached listen there first, see `pypicached client docker`. Then:",
        *(f"# {line}" for line in _environment(variables(address.at(_BRIDGE)))),
    ]


def _environment(variables: Mapping[str, str]) -> list[str]:
    return [
        "environment = [",
        *(f'  "{name}={value}",' for name, value in variables.items()),
        "]",
    ]
