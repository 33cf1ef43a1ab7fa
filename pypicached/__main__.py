"""`python -m pypicached`, and the entry point of the `pypicached` command."""

from __future__ import annotations

import io
import signal
import sys


def main() -> None:
    """Run the command line; never returns."""
    if sys.argv[1:2] == ["serve"]:
        # Its default action would end a daemon that is being started and was meant to reload; what
        # it needs takes a moment to import.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        # A name that the locale cannot spell must not end a command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        # Here, so that Ctrl-C while it is being imported is quiet too.
        from pypicached.cli.app import app  # noqa: PLC0415

        app(prog_name="pypicached")
    except KeyboardInterrupt:
        sys.stderr.write("pypicached: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
