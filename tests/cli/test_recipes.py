"""What `pypicached client` prints, client by client; each was tried with the real one."""

from __future__ import annotations

import configparser
import subprocess
import tomllib

import pytest
from typer.testing import CliRunner

from pypicached.cli.address import (
    Address,
    no_proxy_line,
    parse_address,
    parse_listener,
    proxy_in_the_way,
)
from pypicached.cli.app import app
from pypicached.cli.recipes import RECIPES, build_recipe

_LOCAL = parse_address("http://127.0.0.1:3143")
_REMOTE = parse_address("http://cache.example:3143")


def _shell_variables(recipe: str) -> dict[str, str]:
    """Return what a shell that reads the recipe hands to its children."""
    script = f"pdm() {{ :; }}; poetry() {{ :; }}\n{recipe}\nenv -0"
    read = subprocess.run(["/bin/sh", "-eu", "-c", script], env={}, capture_output=True, check=True)
    return dict(line.split("=", 1) for line in read.stdout.decode().split("\0") if line)


@pytest.mark.parametrize(
    ("url", "index_url"),
    [
        ("http://127.0.0.1:3143", "http://127.0.0.1:3143/simple/"),
        ("http://127.0.0.1:3143/simple", "http://127.0.0.1:3143/simple/"),
        ("https://cache.example/pypi/simple/", "https://cache.example/pypi/simple/"),
        ("https://cache.example/pypi", "https://cache.example/pypi/simple/"),
        ("cache.example:80", "http://cache.example:80/simple/"),
        ("http://[fd00::2]:3143/", "http://[fd00::2]:3143/simple/"),
    ],
)
def test_address__from_url(url: str, index_url: str) -> None:
    """A base address and an index address mean the same index."""
    assert parse_address(url).index_url == index_url


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/",
        "http://user:secret@h/",
        "http://h:99999/",
        "http:///simple/",
        "http://h/?a=b",
        'http://h/"\nx = 1',
        "http://h/$(id)",
        "http://h/ä",
    ],
)
def test_address__refused(url: str) -> None:
    """What is no plain index address is refused, and a credential is not repeated."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are the CLI's
        parse_address(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("listener", "netloc"),
    [
        ("127.0.0.1:3143", "127.0.0.1:3143"),
        ("0.0.0.0:3143", "127.0.0.1:3143"),
        ("[::]:3143", "[::1]:3143"),
        ("[::1]:3143", "[::1]:3143"),
        ("http://127.0.0.1:3143", "127.0.0.1:3143"),
    ],
)
def test_listener__reached_from_this_host(listener: str, netloc: str) -> None:
    """A listener on every address is reached by the loopback of its family."""
    address = parse_listener(listener)
    assert address is not None
    assert address.netloc == netloc


@pytest.mark.parametrize("listener", ["unix:/run/x.sock", "/run/x.sock", ""])
def test_listener__no_tcp(listener: str) -> None:
    """A Unix socket is no address for a client."""
    assert parse_listener(listener) is None


@pytest.mark.parametrize(
    ("url", "needs_trust"),
    [
        ("http://127.0.0.1:1", False),
        ("http://127.9.9.9:1", False),
        ("http://localhost:1", False),
        ("http://[::1]:1", False),
        ("https://cache.example", False),
        ("http://cache.example", True),
        ("http://192.0.2.2", True),
        ("http://localhost.example", True),
    ],
)
def test_address__needs_trust(url: str, needs_trust: bool) -> None:
    """Plain HTTP needs to be trusted beyond loopback, as pip decides it."""
    assert parse_address(url).needs_trust == needs_trust


def test_recipe_pip__file() -> None:
    """The recipe is a pip.conf; it trusts a host beyond loopback by name."""
    found = {}
    for address in (_LOCAL, _REMOTE):
        conf = configparser.RawConfigParser()
        conf.read_string(build_recipe("pip", address, {"http_proxy": "http://p:1"}))
        found[address.host] = dict(conf["global"])
    assert found == {
        "127.0.0.1": {"index-url": "http://127.0.0.1:3143/simple/"},
        "cache.example": {
            "index-url": "http://cache.example:3143/simple/",
            "trusted-host": "cache.example",
        },
    }


def test_recipe_uv__file() -> None:
    """The recipe is a uv.toml with one default index, and says what to do with a lock."""
    recipe = build_recipe("uv", _REMOTE, {"http_proxy": "http://p:1"})
    index = {"url": "http://cache.example:3143/simple/", "default": True}
    assert tomllib.loads(recipe) == {"index": [index]}
    assert "uv export --frozen --no-emit-project | uv pip sync -" in recipe
    assert "uv run --no-sync" in recipe
    assert "`uv sync --locked` fail" in recipe


@pytest.mark.parametrize("name", RECIPES)
def test_recipe__width(name: str) -> None:
    """Comments fit into a terminal, but for a command that cannot be broken."""
    for address in (_LOCAL, _REMOTE):
        for line in build_recipe(name, address, {"http_proxy": "http://p:1"}).splitlines():
            if line.startswith("# "):
                assert len(line) <= 80 or line.startswith("#  "), line


def test_recipe_pipenv__mirror() -> None:
    """Pipenv appends "/project/", so its mirror has no closing slash; pip below it is told."""
    local = _shell_variables(build_recipe("pipenv", _LOCAL, {}))
    remote = _shell_variables(build_recipe("pipenv", _REMOTE, {}))
    assert local["PIPENV_PYPI_MIRROR"] == "http://127.0.0.1:3143/simple"
    assert "PIP_TRUSTED_HOST" not in local
    assert remote["PIP_TRUSTED_HOST"] == "cache.example"


def test_recipe_pdm__trust() -> None:
    """PDM is told not to verify plain HTTP beyond loopback, and only then."""
    assert "verify_ssl" not in build_recipe("pdm", _LOCAL, {})
    assert "\npdm config pypi.verify_ssl false\n" in build_recipe("pdm", _REMOTE, {})


def test_recipe_poetry__order() -> None:
    """The plug-in comes first; the source comes second, as a comment with its warning."""
    recipe = build_recipe("poetry", _LOCAL, {})
    assert recipe.index("poetry-plugin-pypi-mirror") < recipe.index("poetry source add")
    assert "poetry.lock then carry this address" in recipe
    variables = _shell_variables(recipe)
    assert variables["POETRY_PYPI_MIRROR_URL"] == "http://127.0.0.1:3143/simple/"


@pytest.mark.parametrize("client", ["poetry", "env"])
def test_recipe_poetry__ipv6(client: str) -> None:
    """Poetry fails on an IPv6 literal, which is said before somebody tries."""
    assert "IPv6" in build_recipe(client, parse_address("http://[::1]:3143"), {})
    assert "IPv6" not in build_recipe(client, _LOCAL, {})


def test_recipe_env__variables() -> None:
    """A shell that reads it has one variable for each client, and what they need for trust."""
    found = _shell_variables(build_recipe("env", _REMOTE, {}))
    url = "http://cache.example:3143/simple/"
    expected = {
        "PIP_INDEX_URL": url,
        "PIP_TRUSTED_HOST": "cache.example",
        "UV_DEFAULT_INDEX": url,
        "PIPENV_PYPI_MIRROR": url.rstrip("/"),
        "PDM_PYPI_URL": url,
        "PDM_PYPI_VERIFY_SSL": "false",
        "POETRY_PYPI_MIRROR_URL": url,
    }
    assert {name: found[name] for name in expected} == expected


def test_recipe_docker__bridge() -> None:
    """From loopback: the socket's drop-in, ARG and never ENV, and the whole build line."""
    recipe = build_recipe("docker", _LOCAL, {})
    assert "ListenStream=172.17.0.1:3143\n#   FreeBind=yes\n" in recipe
    assert "#   ARG PIP_INDEX_URL\n#   ARG PIP_TRUSTED_HOST\n" in recipe
    command = recipe[recipe.index("docker build") :].replace("\\\n", "").split()
    assert command[2:5] == [
        "--add-host=host.docker.internal:host-gateway",
        "--build-arg",
        "PIP_INDEX_URL=http://host.docker.internal:3143/simple/",
    ]
    assert "PIP_TRUSTED_HOST=host.docker.internal" in command
    assert command[-1] == "."


def test_recipe_docker__reachable_address() -> None:
    """An address beyond loopback is used as it is, without the bridge."""
    recipe = build_recipe("docker", parse_address("https://cache.example"), {})
    assert "PIP_INDEX_URL=https://cache.example/simple/" in recipe
    assert "host-gateway" not in recipe
    assert "TRUSTED" not in recipe


def test_recipe_gitlab_runner__toml() -> None:
    """The lines stand in a [[runners]] table; jobs in containers get the bridge's address."""
    recipe = build_recipe("gitlab-runner", _LOCAL, {})
    runner = tomllib.loads(f"[[runners]]\n{recipe}")["runners"][0]
    assert runner["environment"][0] == "PIP_INDEX_URL=http://127.0.0.1:3143/simple/"
    container = "\n".join(
        line.removeprefix("# ") for line in recipe[recipe.index("# environment") :].splitlines()
    )
    assert "PIP_TRUSTED_HOST=172.17.0.1" in tomllib.loads(container)["environment"]


@pytest.mark.parametrize(
    ("env", "variable"),
    [
        ({}, None),
        ({"http_proxy": ""}, None),
        ({"http_proxy": "http://p:1"}, "http_proxy"),
        ({"HTTP_PROXY": "http://p:1"}, "HTTP_PROXY"),
        ({"ALL_PROXY": "socks5://p:1"}, "ALL_PROXY"),
        ({"https_proxy": "http://p:1"}, None),
        ({"http_proxy": "http://p:1", "NO_PROXY": "*"}, None),
        ({"http_proxy": "http://p:1", "NO_PROXY": "a, .example"}, None),
        ({"http_proxy": "http://p:1", "no_proxy": "cache.example:3143"}, "http_proxy"),
        ({"http_proxy": "http://p:1", "NO_PROXY": "ample,example.cache"}, "http_proxy"),
        ({"http_proxy": "http://p:1", "NO_PROXY": "*", "no_proxy": "x"}, "http_proxy"),
    ],
)
def test_proxy__in_the_way(env: dict[str, str], variable: str | None) -> None:
    """A proxy of the address's scheme counts, unless NO_PROXY exempts the host."""
    assert proxy_in_the_way(_REMOTE, env) == variable


@pytest.mark.parametrize("client", RECIPES)
def test_proxy__notice(client: str) -> None:
    """Every recipe says which variable is in the way, and never what it holds."""
    recipe = build_recipe(client, _REMOTE, {"http_proxy": "http://user:secret@p:1"})
    assert "http_proxy is set and NO_PROXY does not exempt cache.example" in recipe
    assert "NO_PROXY" in recipe.splitlines()[-1]
    assert "secret" not in recipe
    assert "NO_PROXY" not in build_recipe(client, _REMOTE, {})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"NO_PROXY": "cache.example"}),
        ({"NO_PROXY": "a"}, {"NO_PROXY": "a,cache.example"}),
        ({"no_proxy": "a"}, {"no_proxy": "a,cache.example"}),
    ],
)
def test_proxy__line(before: dict[str, str], after: dict[str, str]) -> None:
    """The line keeps what was exempt before, in the spelling that wins."""
    script = f"{no_proxy_line(_REMOTE, before)}\nenv"
    read = subprocess.run(
        ["/bin/sh", "-c", script], env=before, capture_output=True, text=True, check=True
    )
    assert set(after.items()) <= {tuple(line.split("=", 1)) for line in read.stdout.splitlines()}


def test_recipe__quoted() -> None:
    """What a shell would take apart is quoted."""
    address = Address("http", "h", 1, "/a;b/simple/")
    variables = _shell_variables(build_recipe("env", address, {}))
    assert variables["PIP_INDEX_URL"] == "http://h:1/a;b/simple/"


@pytest.mark.parametrize(
    ("url", "is_said"),
    [
        ("http://cache.example", True),
        ("http://cache.example:80", False),
        ("https://c.example", False),
    ],
)
def test_client__no_port(url: str, is_said: bool) -> None:
    """An address without a port leads to another than ours, which is said beside the recipe."""
    done = CliRunner().invoke(app, ["client", "pip", "--url", url])
    said = "--url leads to cache.example, port 80, as the URL names none; pypicached's is 3143\n"
    assert (done.exit_code, said in done.stderr, "port" in done.stdout) == (0, is_said, False)
