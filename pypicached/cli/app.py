"""The `pypicached` command: its tree, and the one place where failures become lines and codes.

Nothing heavy is imported before a command runs, so that `--help` and completion stay quick.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pypicached import __version__
from pypicached.cli import (
    backup,
    cached,
    client,
    config,
    explain,
    invalidate,
    offline,
    pin,
    prune,
    reload,
    serve,
    stats,
    status,
    verify,
    warm,
    who,
)
from pypicached.cli.terminal import print_failure, print_line, print_note
from pypicached.errors import ControlError, PypicachedError, SettingsError, clean

# 128 + SIGINT, 128 + SIGPIPE: what a shell says of a command that a signal ended.
_INTERRUPTED = 130
_PIPE_CLOSED = 141


class Commands(TyperGroup):
    """Ends a command that failed on purpose with one sentence and its exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; typer.Exit for everything that is no bug."""
        try:
            result = super().invoke(ctx)
            # Here, where a reader that has gone can still be met quietly.
            sys.stdout.flush()
        except KeyboardInterrupt:
            print_note("interrupted")
            raise typer.Exit(_INTERRUPTED) from None
        except BrokenPipeError:
            _drop_output()
            raise typer.Exit(_PIPE_CLOSED) from None
        except OSError as error:
            _drop_output()
            # What fails at a path names it; an output has none.
            what = error.filename or "cannot write the output"
            print_failure(f"{clean(str(what))}: {error.strerror}")
            raise typer.Exit(1) from None
        except SettingsError as error:
            for key, message, suggestion in error.problems:
                print_failure(f"{key}: {message}" + (f" ({suggestion})" if suggestion else ""))
            raise typer.Exit(2) from None
        except PypicachedError as error:
            print_failure(str(error))
            raise typer.Exit(error.exit_code if isinstance(error, ControlError) else 1) from None
        return result


def _drop_output() -> None:
    """Send what is still buffered nowhere, or the interpreter complains of it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    # Completion comes with the package, and from packaging/manual: no option is needed for it.
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A pull-through cache for Python package indexes: one small daemon per build host.",
)


def _version(asked: bool) -> None:
    if asked:
        print_line(f"pypicached {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Hold the options that stand before a command's name."""


app.command("serve", rich_help_panel="Run")(serve.serve)
app.command("status", rich_help_panel="Look")(status.status)
app.command("stats", rich_help_panel="Look")(stats.stats)
app.command("list", rich_help_panel="Look")(cached.list_cached)
app.command("explain", rich_help_panel="Look")(explain.explain)
app.command("who", rich_help_panel="Look")(who.who)
app.command("verify", rich_help_panel="Look")(verify.verify)
app.command("warm", rich_help_panel="Change")(warm.warm)
app.command("prune", rich_help_panel="Change")(prune.prune)
app.command("invalidate", rich_help_panel="Change")(invalidate.invalidate)
app.command("pin", rich_help_panel="Change")(pin.pin)
app.command("unpin", rich_help_panel="Change")(pin.unpin)
app.command("offline", rich_help_panel="Change")(offline.offline)
app.command("reload", rich_help_panel="Change")(reload.reload)
app.command("backup", rich_help_panel="Change")(backup.backup)
app.command("client", rich_help_panel="Set up")(client.client)
app.add_typer(config.app, name="config", rich_help_panel="Set up")
