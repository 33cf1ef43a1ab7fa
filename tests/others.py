"""What another user of this host can reach: tests that become one need it."""

from __future__ import annotations

import sys
from pathlib import Path


def reachable(path: Path) -> bool:
    """Whether everybody may enter all directories above a path."""
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)


# The package and the interpreter of its environment; a checkout in a private directory has neither.
CHECKOUT_IS_REACHABLE = reachable(Path(__file__)) and reachable(Path(sys.executable))
# Below the environment lies an interpreter that everybody may run, if without our packages.
PLAIN_PYTHON = str(Path(sys.executable).resolve())
