"""What `packaging/manual` writes, made once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


def write_manual(directory: Path, **environment: str) -> Path:
    """Run it as a package's build does; return the directory that it wrote into."""
    subprocess.run(
        [sys.executable, "-I", str(CHECKOUT / "packaging/manual"), str(directory)],
        env={"PATH": os.environ["PATH"], "LANG": "C", **environment},
        check=True,
        timeout=50,
    )
    return directory


@pytest.fixture(scope="session")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with all pages and completions."""
    return write_manual(tmp_path_factory.mktemp("manual") / "new")
