#!/usr/bin/python3 -I
"""`pypicached-client`: makes pip and uv of a whole host use a pypicached.

One file for Debian's python3 and nothing else; installed as /usr/bin/pypicached-client.
"""

from __future__ import annotations

import argparse
import sys

__version__ = "0.1.0"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="pypicached-client",
        description="Make pip and uv of this whole host use a pypicached.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def main() -> int:
    """Run the command; the exit code."""
    build_parser().parse_args()
    return 2


if __name__ == "__main__":
    sys.exit(main())
