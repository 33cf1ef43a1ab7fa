"""`pypicached serve`: runs the daemon in the foreground. The only command that imports it."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from pypicached.cli.address import DEFAULT_BASE
from pypicached.errors import PypicachedError

logger = logging.getLogger(__name__)


def serve(
    config: Annotated[
        Path | None, typer.Option(help="Configuration file.", metavar="FILE", show_default=False)
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS", help="HOST:PORT or unix:/path; may be repeated.", show_default=False
        ),
    ] = None,
    index_url: Annotated[
        str | None, typer.Option(help="The one index to cache.", metavar="URL", show_default=False)
    ] = None,
    cache_dir: Annotated[
        Path | None, typer.Option(help="Where files are kept.", metavar="DIR", show_default=False)
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help='Disk budget: "50GiB", "40%", "unlimited".', show_default=False
        ),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Never ask upstreams; serve only what is cached.")
    ] = False,
    socket: Annotated[
        Path | None,
        typer.Option(help="Where commands reach it.", metavar="PATH", show_default=False),
    ] = None,
) -> None:
    """Run the daemon in the foreground."""
    import asyncio
    import functools
    import signal

    from pypicached import logs, reporting
    from pypicached.daemon import Daemon
    from pypicached.ending import Ending
    from pypicached.settings import Loaded, Server, Source

    overrides: dict[str, object] = {
        "server.listen": listen,
        "index_url": index_url,
        "cache.directory": cache_dir,
        "cache.max_size": max_size,
        # Without the option the file and the environment decide.
        "cache.offline": offline or None,
        "server.control_socket": socket,
    }
    source = Source(config, os.environ, overrides)

    def configure_logs(server: Server) -> None:
        logs.configure(server.log_format, server.log_level, sys.stderr)

    async def run(loaded: Loaded) -> None:
        on_ready = functools.partial(tell_clients, offline=loaded.settings.cache.offline)
        daemon = Daemon(
            loaded,
            source,
            configure_logs=configure_logs,
            on_ready=on_ready,
            end_within=Ending().within,
        )
        await daemon.run()
        # The loop's end would give it its default action back, and we are not gone yet.
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    try:
        loaded = source.load()
        configure_logs(loaded.settings.server)
        for warning in loaded.warnings:
            logs.event(logger, logging.WARNING, warning)
        asyncio.run(run(loaded))
    except PypicachedError as error:
        reporting.failed(str(error))
        raise


def _own_name() -> str:
    """Return what a shell has to be told for this very program: its name, if that leads here."""
    own = Path(sys.argv[0])
    if own.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m pypicached"
    found = shutil.which("pypicached")
    if not own.exists() or (found is not None and own.samefile(found)):
        return "pypicached"
    return shlex.quote(sys.argv[0])


def tell_clients(listeners: list[str], *, offline: bool = False) -> None:
    """Print how to use the daemon, for the person who has just started it by hand."""
    if "NOTIFY_SOCKET" in os.environ or not listeners[0].startswith("http"):
        return
    index = f"{listeners[0]}/simple/"
    # A command that asks without it may ask another daemon of this host, or none.
    which = "" if listeners[0] == DEFAULT_BASE else f"--url {listeners[0]} "
    typer.echo(
        f"Ready. Point a client at {index} (Ctrl-C stops):\n"
        f"  pip install --index-url {index} PROJECT\n"
        f"  uv pip install --index-url {index} PROJECT\n"
        "For good, where there is no pip.conf yet:\n"
        "  mkdir -p ~/.config/pip\n"
        f"  {_own_name()} client pip {which}> ~/.config/pip/pip.conf\n"
        "and the same for uv, poetry, pdm, pipenv, docker, gitlab-runner, env: "
        f"{_own_name()} client --help"
    )
    if offline:
        typer.echo("Offline: upstreams are not asked, only what is cached is listed and served.")
    sys.stdout.flush()
