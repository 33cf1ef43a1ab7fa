"""Processes of our own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from pypicached.child import command


def test_command__ignores_sighup(tmp_path: Path) -> None:
    """A signal that was meant to reload the daemon ends no worker, whoever it is sent to."""
    (tmp_path / "job.py").write_text(
        "def main():\n    print('here', flush=True)\n    print(input())\n"
    )
    program, *options, text, parent = command("job")
    assert program == sys.executable
    # The place of the module is the test's.
    text = text.replace("from job", f"sys.path.insert(0, {str(tmp_path)!r}); from job")
    with subprocess.Popen(
        [program, *options, text, parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGHUP)
        assert process.communicate("done\n")[0] == "done\n"
    assert process.returncode == 0
