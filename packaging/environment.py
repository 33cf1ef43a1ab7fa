"""Make the private environment of the Debian package: one tree, the same bytes every time.

`environment.py WHEELS ROOT` is called by debian/rules, with the Python that the package is for. It
takes the wheels of `requirements/debian.txt` from a folder and needs no network. No path of the
build may get in: what pip writes about an installation is dropped, the launcher's interpreter is a
link, and bytecode is compiled under its final path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PREFIX: Final = Path("usr/lib/pypicached")
PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
# What an installation says about itself; two of them name the build's folders.
_RECORDS: Final = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "top_level.txt")
# Sources of extension modules, and what only type checkers read.
_SOURCES: Final = ("*.pyx", "*.pxd", "*.pxi", "*.pyi", "*.c", "*.h")
# Debian's place for licences is debian/copyright, which `check_copyright.py` compares with these.
_LICENCES: Final = ("LICENSE*", "COPYING*", "AUTHORS*")

# What of Amazon's hundreds of services the daemon asks: its bucket, and those that give keys to it.
_SERVICES: Final = ("s3", "signin", "sso", "sso-oidc", "sts")
# The host's own, of Debian's ca-certificates.
_AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"


def make(wheels: Path, root: Path) -> None:
    """Make the environment below `root`, the package's tree."""
    prefix = root / PREFIX
    site = prefix / "lib" / PYTHON / "site-packages"
    site.mkdir(parents=True)
    _install(site, "--no-index", f"--find-links={wheels}", "--only-binary=:all:",
             "--require-hashes", f"--requirement={ROOT / 'requirements/debian.txt'}")  # fmt: skip
    _install(site, "--no-index", "--no-build-isolation", str(ROOT))
    _strip(site)
    _cut_botocore(site / "botocore")
    (prefix / "bin").mkdir()
    (prefix / "bin/python").symlink_to(f"../../../bin/{PYTHON}")
    version = ".".join(str(part) for part in sys.version_info[:2])
    (prefix / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {version}\n"
    )
    _settle(prefix)
    _compile(site, root)


def _install(site: Path, *what: str) -> None:
    # Isolated: neither PIP_ variables nor a pip.conf may add a source.
    command = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "install"]
    options = ["--quiet", "--no-deps", "--no-compile", "--no-cache-dir", f"--target={site}"]
    subprocess.run([*command, *options, *what], check=True)


def _strip(site: Path) -> None:
    shutil.rmtree(site / "bin")
    for information in site.glob("*.dist-info"):
        for name in _RECORDS:
            (information / name).unlink(missing_ok=True)
    for pattern in _SOURCES:
        for path in site.rglob(pattern):
            path.unlink()


def _cut_botocore(botocore: Path) -> None:
    """Leave of 24 MB of service models those of use, and trust whom the host trusts."""
    services = [path for path in (botocore / "data").iterdir() if path.is_dir()]
    if missing := set(_SERVICES) - {path.name for path in services}:
        raise SystemExit(f"botocore has no model of {', '.join(sorted(missing))}")
    for path in services:
        if path.name not in _SERVICES:
            shutil.rmtree(path)
    # Without a file in its place, not even credentials are found.
    bundle = botocore / "cacert.pem"
    bundle.unlink()
    bundle.symlink_to(_AUTHORITIES)


def _settle(prefix: Path) -> None:
    """Give everything the modes and the time that do not depend on who builds, and when."""
    moment = int(os.environ["SOURCE_DATE_EPOCH"])
    for path in [prefix, *prefix.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (moment, moment), follow_symlinks=False)


def _compile(site: Path, root: Path) -> None:
    """Compile to bytecode that is never compared with its source: dpkg replaces both together."""
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode=unchecked-hash"]
    # The order of sets in bytecode follows the seed.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    subprocess.run([*command, "-s", str(root), "-p", "/", str(site)], check=True, env=environment)


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
