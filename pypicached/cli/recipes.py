"""What to put where, client by client; each recipe was tried with the client it is for. Pure.

Every recipe can be redirected into a file or read by a shell: what is no setting is a comment.
Plain HTTP beyond loopback brings that client's own way of trusting it along, where it has one.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

from pypicached.cli.address import Address, no_proxy_line, proxy_in_the_way
from pypicached.cli.containers import recipe_docker, recipe_gitlab_runner, seen_by_build


def build_recipe(client: str, address: Address, env: Mapping[str, str]) -> str:
    """Return the recipe of a client of `RECIPES`, and what to do about a proxy in the way."""
    recipe = RECIPES[client](address)
    return "".join(f"{line}\n" for line in (*recipe, *_proxy_notice(client, address, env)))


def variables(address: Address) -> dict[str, str]:
    """Return the environment variables that all clients together need."""
    found = {"PIP_INDEX_URL": address.index_url}
    if address.needs_trust:
        found["PIP_TRUSTED_HOST"] = address.host
    found["UV_DEFAULT_INDEX"] = address.index_url
    found["PIPENV_PYPI_MIRROR"] = _without_slash(address)
    found["PDM_PYPI_URL"] = address.index_url
    if address.needs_trust:
        found["PDM_PYPI_VERIFY_SSL"] = "false"
    found["POETRY_PYPI_MIRROR_URL"] = address.index_url
    return found


def _recipe_pip(address: Address) -> list[str]:
    lines = [
        "# pip: ~/.config/pip/pip.conf for one user, /etc/pip.conf for everybody.",
        "# Leave out any extra-index-url: pip would ask that one too, around the cache.",
        "[global]",
        f"index-url = {address.index_url}",
    ]
    return [*lines, f"trusted-host = {address.host}"] if address.needs_trust else lines


def _recipe_uv(address: Address) -> list[str]:
    return [
        "# uv: ~/.config/uv/uv.toml for one user, /etc/uv/uv.toml for everybody.",
        "# Right for `uv pip`, `uv tool` and new locks; a new uv.lock has this address.",
        "[[index]]",
        f'url = "{address.index_url}"',
        "default = true",
        "",
        "# With a committed uv.lock that was made against another index, the setting",
        "# above makes `uv sync --locked` fail, `uv sync --frozen` download around the",
        "# cache, and `uv sync` and `uv run` rewrite every address in the lock.",
        "# Instead, with all hashes and through the cache:",
        "#   uv venv",
        "#   uv export --frozen --no-emit-project | uv pip sync -",
        "#   uv pip install --no-deps -e .      # the project itself, if it is a package",
        "#   uv run --no-sync COMMAND",
    ]


def _recipe_poetry(address: Address) -> list[str]:
    return [
        *_poetry_limits(address),
        "# Poetry, first choice: its mirror plug-in. No project file changes, and",
        "# poetry.lock stays free of this address. `self add` asks PyPI itself; where",
        "# Poetry came by pipx, `pipx inject poetry poetry-plugin-pypi-mirror` asks what",
        "# pip asks, such as this cache.",
        "poetry self add poetry-plugin-pypi-mirror",
        f"export POETRY_PYPI_MIRROR_URL={_shell(address.index_url)}",
        "# To keep it, in ~/.config/pypoetry/config.toml instead of the export:",
        "#   [plugins.pypi_mirror]",
        f'#   url = "{address.index_url}"',
        "#",
        "# Second choice, without the plug-in, in each project. Beware: pyproject.toml",
        "# and poetry.lock then carry this address, for everybody who uses them.",
        f"#   poetry source add --priority=primary pypicached {_shell(address.index_url)}",
    ]


def _poetry_limits(address: Address) -> list[str]:
    # Seen with Poetry 2.5: it encodes the brackets and fails, with or without the plug-in.
    notice = "# Poetry cannot use an IPv6 address: give a name by --url."
    return [notice] if ":" in address.host else []


def _recipe_pdm(address: Address) -> list[str]:
    lines = [
        "# PDM: kept in your own configuration; pdm.lock stays free of this address.",
        f"pdm config pypi.url {_shell(address.index_url)}",
    ]
    if not address.needs_trust:
        return lines
    return [
        *lines,
        "# PDM ignores an index over plain HTTP beyond this host unless told not to",
        "# verify it.",
        "pdm config pypi.verify_ssl false",
    ]


def _recipe_pipenv(address: Address) -> list[str]:
    lines = [
        "# Pipenv: for example in ~/.profile. A Pipfile with PyPI as its [[source]] stays",
        "# as it is, and so does its lock; one without any source gets this address into",
        "# its lock.",
        # It appends "/project/" to what it is given: a closing slash here would stand twice.
        f"export PIPENV_PYPI_MIRROR={_shell(_without_slash(address))}",
    ]
    if not address.needs_trust:
        return lines
    return [*lines, f"export PIP_TRUSTED_HOST={_shell(address.host)}"]


def _recipe_env(address: Address) -> list[str]:
    return [
        "# For a shell or a CI job. A variable wins over the client's configuration file.",
        "# POETRY_PYPI_MIRROR_URL needs Poetry's plug-in poetry-plugin-pypi-mirror.",
        "# With a committed uv.lock see `pypicached client uv`.",
        *_poetry_limits(address),
        *(f"export {name}={_shell(value)}" for name, value in variables(address).items()),
    ]


def _recipe_gitlab_runner(address: Address) -> list[str]:
    return recipe_gitlab_runner(address, variables)


RECIPES: Mapping[str, Callable[[Address], list[str]]] = {
    "pip": _recipe_pip,
    "uv": _recipe_uv,
    "poetry": _recipe_poetry,
    "pdm": _recipe_pdm,
    "pipenv": _recipe_pipenv,
    "docker": recipe_docker,
    "gitlab-runner": _recipe_gitlab_runner,
    "env": _recipe_env,
}


def _proxy_notice(client: str, address: Address, env: Mapping[str, str]) -> list[str]:
    """Return the NO_PROXY line that the client needs, and why; nothing if it needs none."""
    seen = seen_by_build(address) if client == "docker" else address
    variable = proxy_in_the_way(seen, env)
    if variable is None:
        return []
    line = no_proxy_line(seen, env)
    match client:
        case "docker":
            line = f"#   --build-arg NO_PROXY={seen.host}"
        case "gitlab-runner":
            line = f'#   "NO_PROXY={seen.host}",'
        case "pip" | "uv":
            # Their recipe is a configuration file; this belongs into the environment.
            line = f"#   {line}"
    return [
        "",
        f"# {variable} is set and NO_PROXY does not exempt {seen.host}:",
        "# the client would ask that proxy for what the cache has. So add:",
        line,
    ]


def _without_slash(address: Address) -> str:
    return address.index_url.rstrip("/")


def _shell(value: str) -> str:
    return shlex.quote(value)
