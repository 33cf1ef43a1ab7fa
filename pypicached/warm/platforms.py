"""What a platform is called, and which wheels it takes: names → platform tags and markers. Pure.

Three kinds of names: friendly ones (`linux-x86_64`), which stand for a current system; platform
tags as in wheel names (`manylinux2014_x86_64`), which mean what `pip download --platform` makes of
them, no more; and uv's `x86_64-manylinux_2_28`, which is that glibc and all before it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

import msgspec
from packaging.tags import mac_platforms

from pypicached.errors import clean

# glibc of Debian 12. A build host with a newer one may prefer a wheel that is not thought of here
# (few exist); one with an older one is told by uv's names, or by its own tags.
NEWEST_GLIBC = 36
# PEP 656; musl 1.2 is what Alpine has had since 3.13.
NEWEST_MUSL = 2
NEWEST_MACOS = (15, 0)
# PEP 600: the glibc of manylinux2014, 2010 and 1, under which wheels are still published.
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
# PEP 599: an older manylinux is implied only on these.
_OLD_ARCHITECTURES = frozenset({"x86_64", "i686"})
_ARCHITECTURES = ("x86_64", "aarch64", "i686", "armv7l", "ppc64le", "riscv64", "s390x")
# Tag → `platform_machine` there.
_WINDOWS = {"win_amd64": "AMD64", "win_arm64": "ARM64", "win32": "x86"}
_MACOS = re.compile(r"macosx_(\d{1,3})_(\d{1,3})_(arm64|x86_64|universal2)")
_LINUX = re.compile(
    r"(?:linux|manylinux(?:1|2010|2014|_2_\d{1,3})|musllinux_1_\d{1,3})_([a-z0-9_]{2,20})"
)
_UV = re.compile(r"([a-z0-9_]{2,20})-manylinux_2_(\d{1,3})")


class Platform(msgspec.Struct, frozen=True):
    """Platform tags, best first, and what they say of a marker environment (PEP 508)."""

    tags: tuple[str, ...]
    markers: Mapping[str, str]


def parse_platform(name: str) -> Platform:
    """Return what a name stands for; ValueError with one sentence if it stands for nothing."""
    found = _friendly().get(name.lower()) or _tagged(name) or _uvs(name)
    if found is None:
        raise ValueError(_unknown(name))
    return found


def _friendly() -> dict[str, Platform]:
    names = {f"linux-{arch}": _linux(_glibc(arch), arch) for arch in _ARCHITECTURES}
    names |= {f"musllinux-{arch}": _linux(_musl(arch), arch) for arch in _ARCHITECTURES}
    names |= {f"macos-{arch}": _macos(NEWEST_MACOS, arch) for arch in ("arm64", "x86_64")}
    names |= {
        f"windows-{machine.lower()}": _windows(tag, machine) for tag, machine in _WINDOWS.items()
    }
    return names


def _tagged(name: str) -> Platform | None:
    """Return what pip's `--platform` means with this tag (pip: `utils/compatibility_tags.py`)."""
    if name in _WINDOWS:
        return _windows(name, _WINDOWS[name])
    if (mac := _MACOS.fullmatch(name)) is not None:
        return _macos((int(mac[1]), int(mac[2])), mac[3])
    if (linux := _LINUX.fullmatch(name)) is None or not _is_architecture(linux[1]):
        return None
    kind, arch, tags = name.partition("_")[0], linux[1], [name]
    if kind == "manylinux2014" and arch in _OLD_ARCHITECTURES:
        tags += [f"manylinux2010_{arch}", f"manylinux1_{arch}"]
    elif kind == "manylinux2010":
        tags.append(f"manylinux1_{arch}")
    return _linux(tags, arch)


def _uvs(name: str) -> Platform | None:
    match = _UV.fullmatch(name)
    if match is None or not _is_architecture(match[1]):
        return None
    return _linux(_glibc(match[1], int(match[2])), match[1])


def _is_architecture(text: str) -> bool:
    return text in _ARCHITECTURES


def _linux(tags: Iterator[str] | list[str], arch: str) -> Platform:
    return Platform(tuple(tags), _markers("posix", "linux", "Linux", arch))


def _windows(tag: str, machine: str) -> Platform:
    return Platform((tag,), _markers("nt", "win32", "Windows", machine))


def _macos(version: tuple[int, int], arch: str) -> Platform:
    machine = "arm64" if arch == "universal2" else arch
    tags = tuple(mac_platforms(version, arch))
    return Platform(tags, _markers("posix", "darwin", "Darwin", machine))


def _glibc(arch: str, newest: int = NEWEST_GLIBC) -> Iterator[str]:
    oldest = 5 if arch in _OLD_ARCHITECTURES else 17
    for minor in range(newest, oldest - 1, -1):
        yield f"manylinux_2_{minor}_{arch}"
        if minor in _LEGACY:
            yield f"{_LEGACY[minor]}_{arch}"
    yield f"linux_{arch}"


def _musl(arch: str) -> Iterator[str]:
    for minor in range(NEWEST_MUSL, -1, -1):
        yield f"musllinux_1_{minor}_{arch}"
    yield f"linux_{arch}"


def _markers(os_name: str, sys_platform: str, system: str, machine: str) -> dict[str, str]:
    return {
        "os_name": os_name,
        "sys_platform": sys_platform,
        "platform_system": system,
        "platform_machine": machine,
        # Of the kernel; nobody can know it of another machine, and uv leaves it empty as well.
        "platform_release": "",
        "platform_version": "",
    }


def _unknown(name: str) -> str:
    known = [*_friendly(), *_WINDOWS, "manylinux2014_x86_64", "manylinux_2_28_x86_64"]
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f'did you mean "{near[0]}"?' if near else f"known are e.g. {', '.join(known[:3])}"
    return f'"{clean(name, 40)}" is no platform; {hint}'
