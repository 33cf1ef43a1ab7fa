"""Locks that the real tools made (`locks/README.md`): what each of them would install."""

from __future__ import annotations

import pytest

from pypicached.requirements.model import ALL, Inputs, LockScope, Selection
from tests.requirements.reading import LOCKS, lock_problems, read_example, read_lock

# The dependencies of the example, whatever locked it.
MAIN = {
    "certifi", "charset-normalizer", "click", "colorama", "idna", "pysocks", "requests", "tqdm",
    "urllib3",
}  # fmt: skip
DEV, DOCS, FAST = {"iniconfig"}, {"markupsafe"}, {"msgspec"}
WINDOWS = {"colorama", "tqdm"}
PIPFILE = '{"_meta": {"pipfile-spec": 6}, "default": {"a": %s}}'
SHOP = ("uv.lock", "poetry.lock", "pdm.lock", "urls.pdm.lock")


def projects(inputs: Inputs) -> set[str]:
    return {package.project for package in inputs.locked}


def select(extras: set[str], groups: set[str] | None = None) -> Selection:
    return Selection(frozenset(extras), None if groups is None else frozenset(groups))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("uv.lock", MAIN | DEV),
        ("pylock.uv.toml", MAIN | DEV | DOCS | FAST),
        ("poetry.lock", MAIN | DEV | DOCS),
        ("poetry-2.0.lock", MAIN | DEV),
        ("poetry-1.1.lock", MAIN | DEV),
        ("pdm.lock", MAIN | DEV | DOCS | FAST),
        ("urls.pdm.lock", MAIN | DEV | DOCS | FAST),
        ("pylock.pdm.toml", MAIN),
        ("pylock.pip.toml", MAIN - WINDOWS),
        ("Pipfile.lock", MAIN - WINDOWS),
    ],
)
def test_lock__by_default(name: str, expected: set[str]) -> None:
    """Without a selection: what the tool installs when told nothing, or more where none is told."""
    inputs = read_example(name)
    assert projects(inputs) == expected
    assert inputs.left_out == ()


@pytest.mark.parametrize("name", SHOP)
def test_lock__selected(name: str) -> None:
    """With a selection: the main dependencies, and exactly what is selected."""
    assert projects(read_example(name, selection=select(set(), set()))) == MAIN
    assert projects(read_example(name, selection=select({"fast"}, {"docs"}))) == MAIN | DOCS | FAST
    assert projects(read_example(name, selection=select({ALL}, {ALL}))) == MAIN | DEV | DOCS | FAST


def test_lock__selected_in_pylock() -> None:
    """Extras and groups in markers of pylock.toml are decided (PEP 751)."""
    inputs = read_example("pylock.pdm.toml", selection=select({"fast"}, {"default", "docs"}))
    assert projects(inputs) == MAIN | DOCS | FAST


def test_lock__absence_in_pylock() -> None:
    """A marker may ask for the absence of an extra or group."""
    text = PYLOCK + "marker = \"'x' not in extras and os_name == 'nt'\"\n"
    text += "wheels = [{name = 'a-1-py3-none-any.whl', hashes = {}}]\n"
    (package,) = read_lock(text, "pylock.toml").locked
    assert package.marker == 'os_name == "nt"'
    text = text.replace("lock-version", "extras = ['x']\nlock-version", 1)
    assert read_lock(text, "pylock.toml", selection=select({"x"})).locked == ()


def test_lock__extras_of_pdm() -> None:
    """A project and its extras have an entry each in pdm.lock, and are one package here."""
    text = PDM_BAD.replace('hash = "x"', f'hash = "sha256:{"a" * 64}"')
    entry, _, metadata = text.partition("[metadata]")
    both = "".join(f"{entry}marker = \"os_name == '{name}'\"\n" for name in "ab")
    text = f"{both}[metadata]{metadata}"
    (package,) = read_lock(text, "pdm.lock").locked
    assert package.marker == 'os_name == "a" or os_name == "b"'


def test_lock__categories_of_pipenv() -> None:
    """Categories of Pipfile.lock are groups; that of --dev has all its names."""
    for name in ("develop", "dev"):
        inputs = read_example("Pipfile.lock", selection=select(set(), {name}))
        assert projects(inputs) == (MAIN | DEV) - WINDOWS
    assert "markupsafe" in projects(read_example("Pipfile.lock", selection=select(set(), {"docs"})))


@pytest.mark.parametrize("name", [*SHOP, "pylock.uv.toml", "pylock.pdm.toml"])
def test_lock__windows_alone(name: str) -> None:
    """What only Windows installs says so, also where only the way to it does."""
    found = {p.project: p.marker for p in read_example(name).locked if p.marker is not None}
    assert found.keys() == WINDOWS
    assert all('sys_platform == "win32"' in str(marker) for marker in found.values())


@pytest.mark.parametrize("name", ["poetry-2.0.lock", "poetry-1.1.lock"])
def test_lock__older_poetry(name: str) -> None:
    """A lock that does not tell when a package is installed is taken whole, and that is said."""
    inputs = read_example(name)
    assert {p.marker for p in inputs.locked} == {None}
    (sentence,) = inputs.skipped
    assert "all are taken, for every target" in sentence


@pytest.mark.parametrize(
    "name", [p.name for p in sorted(LOCKS.iterdir()) if p.suffix in {".lock", ".toml"}]
)
def test_lock__every_file(name: str) -> None:
    """Each package has its version, its line and files with hashes; named as on an index."""
    inputs = read_example(name)
    lines = (LOCKS / name).read_text().split("\n")
    for package in inputs.locked:
        assert package.version
        assert "[[package" in (line := lines[package.origin.line - 1]) or package.project in line
        assert package.files
        for file in package.files:
            assert len(file.hashes["sha256"]) == 64
            if name != "Pipfile.lock":
                assert file.filename is not None
                assert file.filename.endswith((".whl", ".tar.gz", ".zip"))
    if name not in {"Pipfile.lock", "forked.uv.lock", "elsewhere.uv.lock", "pylock.elsewhere.toml"}:
        names = {f.filename for p in inputs.locked if p.project == "pysocks" for f in p.files}
        assert "PySocks-1.7.1-py3-none-any.whl" in names


def test_lock__scope() -> None:
    """A lock says for which Python and environments it was made."""

    def scope(name: str) -> LockScope:
        (found,) = read_example(name).scopes
        return found

    assert scope("uv.lock").requires_python == ">=3.11"
    assert scope("poetry.lock").requires_python == "<4,>=3.11"
    assert scope("poetry-2.0.lock").requires_python is None  # "^3.11" is Poetry's own grammar
    assert scope("pdm.lock").requires_python == ">=3.11"
    assert scope("pylock.pdm.toml").environments == ('python_version >= "3.11"',)
    text = (LOCKS / "Pipfile.lock").read_text()
    text = text.replace('"requires": {}', '"requires": {"python_version": "3.12"}')
    assert read_lock(text, "Pipfile.lock").scopes[0].requires_python == "==3.12.*"


def test_lock__what_pipenv_did_not_lock() -> None:
    """What did not fit the machine that locked is no locked package but a wish."""
    inputs = read_example("Pipfile.lock")
    assert [w.text for w in inputs.wishes] == ['tqdm; sys_platform == "win32"']


def test_lock__forks() -> None:
    """Versions that uv locks side by side come each under its own marker."""
    inputs = read_example("forked.uv.lock")
    assert [(p.version, p.marker) for p in inputs.locked] == [
        ("2.0.2", 'python_full_version < "3.10"'),
        ("2.2.6", 'python_full_version == "3.10.*"'),
        ("2.4.6", 'python_full_version == "3.11.*"'),
        ("2.5.5", 'python_full_version >= "3.12"'),
    ]
    old = read_example("forked.uv.lock", selection=select({"old"}))
    assert [p.version for p in old.locked if p.project == "iniconfig"] == ["1.1.1"]


def test_lock__elsewhere() -> None:
    """What comes from version control, an address or a directory is told, and followed further."""
    inputs = read_example("elsewhere.uv.lock")
    markers = {p.project: p.marker for p in inputs.locked}
    assert markers == {
        "packaging": None,
        "pluggy": None,
        "markupsafe": 'sys_platform == "linux"',
        "click": 'sys_platform == "win32"',
    }
    told = "\n".join(inputs.left_out)
    assert '"iniconfig", which comes from an address,' in told
    assert '"lib", which comes from a local directory,' in told
    assert '"tool", which comes from version control,' in told
    assert len(inputs.left_out) == 3
    told = "\n".join(read_example("pylock.elsewhere.toml").left_out)
    assert '"iniconfig", which comes from an address,' in told
    assert '"tool", which comes from version control,' in told


POETRY = """
[[package]]
name = "{kind}"
version = "1"
optional = {optional}
groups = ["main"]
files = []
[package.source]
type = "{kind}"
[metadata]
lock-version = "2.1"
"""
PDM = """
[metadata]
lock_version = "4.5.0"
strategy = []
[[package]]
name = "{kind}"
version = "1"
{kind} = "somewhere"
"""


@pytest.mark.parametrize(
    ("name", "text", "source"),
    [
        *(
            ("poetry.lock", POETRY.format(kind=kind, optional="false"), source)
            for kind, source in [
                ("git", "version control"), ("url", "an address"),
                ("file", "a local file"), ("directory", "a local directory"), ("new", "elsewhere"),
            ]
        ),
        *(
            ("pdm.lock", PDM.format(kind=kind), source)
            for kind, source in [
                ("git", "version control"), ("url", "an address"), ("path", "a local path"),
            ]
        ),
        *(
            ("Pipfile.lock", PIPFILE % f'{{"{kind}": "x", "editable": true}}', source)
            for kind, source in [
                ("git", "version control"), ("file", "an address"), ("path", "a local path"),
            ]
        ),
    ],
)  # fmt: skip
def test_lock__elsewhere_in_others(name: str, text: str, source: str) -> None:
    """Every format's way to say that something is on no index is told."""
    inputs = read_lock(text, name)
    (sentence,) = inputs.left_out
    assert f"which comes from {source}, is on no index" in sentence
    assert inputs.locked == ()


def test_lock__elsewhere_but_not_installed() -> None:
    """Nothing is told of what is not installed at all."""
    assert read_lock(POETRY.format(kind="git", optional="true"), "poetry.lock").left_out == ()


def test_lock__pdm_that_does_not_tell() -> None:
    """A pdm.lock without groups and markers is taken whole, and that is said."""
    (sentence,) = read_lock(PDM.format(kind="git"), "pdm.lock").skipped
    assert "all are taken, for every target" in sentence


@pytest.mark.parametrize(
    "name", ["poetry.lock", "pdm.lock", "uv.lock", "Pipfile.lock", "pylock.uv.toml"]
)
def test_lock__by_content(name: str) -> None:
    """A file of another name is told by its content."""
    text = (LOCKS / name).read_text()
    assert projects(read_lock(text, "some.file")) == projects(read_lock(text, name))


PYLOCK = "lock-version = '1.0'\n[[packages]]\nname='a'\n"
PACKAGE_BAD = """[[package]]
name = "a"
version = "1"
files = [{ file = "a-1.tar.gz", hash = "x" }]
[metadata]
"""
POETRY_BAD = PACKAGE_BAD + 'lock-version = "2.1"'
PDM_BAD = PACKAGE_BAD + 'lock_version = "4.5.0"'
UV = """version = 1
[[package]]
name = "a"
source = { virtual = "." }
dependencies = [{ name = "b" }]
"""
WHEEL = """[[package]]
name = "b"
source = { registry = "https://index.test/simple" }
wheels = [{ url = "https://files.index.test/b-1-py3-none-any.whl", hash = "md" }]
"""


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("some.lock", "flask==1\n", "some.lock: no lock file: "),
        ("some.lock", "[a]\n", "some.lock: no lock file: "),
        ("some.lock", "{}", "some.lock: no lock file: "),
        ("Pipfile.lock", "[]", "Pipfile.lock: no JSON object"),
        ("Pipfile.lock", "{\n x", "Pipfile.lock:2: no JSON: "),
        ("Pipfile.lock", '{"_meta": {"pipfile-spec": 7}}', "pipfile-spec 7 is not known"),
        ("Pipfile.lock", PIPFILE % '{"version": 1}', "Pipfile.lock: `version`: expected str"),
        ("Pipfile.lock", PIPFILE % '{"git": 1}', "Pipfile.lock: `git`: expected str"),
        ("uv.lock", "version = 9", "uv.lock: version 9 is not known here, only 1"),
        ("uv.lock", "version = 'x'", "uv.lock: `version`: expected int, got str"),
        ("uv.lock", "a = 1\nb", "uv.lock:2: no TOML: "),
        ("poetry.lock", "[metadata]\nlock-version = '3.0'", 'lock-version "3.0" is not known'),
        ("poetry.lock", "", "poetry.lock: object missing required field metadata"),
        ("pdm.lock", "[metadata]\nlock_version = '5.0'", 'lock_version "5.0" is not known'),
        ("pylock.toml", "lock-version = '2.0'", 'pylock.toml: lock-version "2.0" is not known'),
        ("pylock.toml", PYLOCK, 'pylock.toml:2: "a": no file of it'),
        ("pylock.toml", PYLOCK + "marker='x'", 'pylock.toml:2: "a": the marker lacks'),
        ("pylock.toml", PYLOCK + "wheels=[{name='a.whl'}]", "pylock.toml:2: `wheels[0]`: "),
        ("pylock.toml", PYLOCK + "wheels=[{hashes={sha256='z'}, name='a'}]", "is no hash"),
        ("uv.lock", UV, 'uv.lock:2: "b" is needed and not locked'),
        ("pylock.toml", "lock-version='1.0'\ndefault-groups=['/']", 'pylock.toml: "/" is no name'),
        ("pylock.toml", PYLOCK + "wheels=[{hashes={}}]", "neither a name nor an address"),
        ("uv.lock", UV.replace('"b" }', '"a", marker = "x" }'), "uv.lock:2: the marker lacks"),
        ("uv.lock", UV + WHEEL, 'uv.lock:6: "b": "md" is no hash'),
        ("poetry.lock", POETRY_BAD, 'poetry.lock:1: "a": "x" is no hash'),
        ("pdm.lock", PDM.format(kind="git").replace('"git"', '"a/b"'), '"a/b" is no name'),
        ("pdm.lock", PDM_BAD, 'pdm.lock:1: "a": "x" is no hash'),
        ("Pipfile.lock", PIPFILE % '{"version": "==1", "hashes": ["x"]}', '"a": "x" is no hash'),
        ("Pipfile.lock", PIPFILE.replace('{"a": %s}', "[]"), '"default" is no table of packages'),
        ("none.lock", "", "none.lock: no lock file"),
    ],
)  # fmt: skip
def test_lock__bad(name: str, text: str, expected: str) -> None:
    """Unknown versions and broken files are refused with file, line if known, and reason."""
    (problem,) = lock_problems(text, name)
    assert expected in problem


def test_lock__newer_minor_version() -> None:
    """A newer minor version of PEP 751 is read, and that is said."""
    (sentence,) = read_lock("lock-version = '1.7'\npackages = []", "pylock.toml").skipped
    assert "is read as 1.0" in sentence


def test_lock__conflicting_extras_of_uv() -> None:
    """Markers by which uv keeps conflicting extras apart are taken for true on both sides."""
    text = """
version = 1
[[package]]
name = "shop"
source = { editable = "." }
dependencies = [
    { name = "a", marker = "extra != 'extra-4-shop-x' and extra == 'extra-4-shop-y'" },
]
[[package]]
name = "a"
version = "1"
source = { registry = "https://index.test/simple" }
sdist = { url = "https://files.index.test/a-1.tar.gz" }
"""
    (package,) = read_lock(text, "uv.lock").locked
    assert package.marker is None
    assert package.files[0].hashes == {}
