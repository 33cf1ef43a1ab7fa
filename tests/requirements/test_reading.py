"""Everything at once: kinds of files, bounds, and text that means harm."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypicached.errors import BadInputError
from pypicached.requirements import findings
from pypicached.requirements.model import Inputs
from pypicached.requirements.reading import read_inputs
from tests.requirements.reading import LOCKS, lock_problems, problems_of, reader

NAMES = (
    "requirements.txt", "pyproject.toml", "pylock.toml", "uv.lock", "poetry.lock", "pdm.lock",
    "Pipfile.lock",
)  # fmt: skip


def read_as(name: str, text: str) -> Inputs:
    locks, files = ([name], []) if name.endswith("lock") else ([], [name])
    return read_inputs(files=files, locks=locks, read=reader({name: text}), environ={})


def refusal(name: str, text: str) -> list[str]:
    """Return why a file is refused; one that is read must survive a journey as JSON."""
    try:
        inputs = read_as(name, text)
    except BadInputError as error:
        return error.problems or ["refused without a reason\n"]
    assert msgspec.json.decode(msgspec.json.encode(inputs), type=Inputs) == inputs
    return []


def test_inputs__go_over_the_socket() -> None:
    """Inputs are the same after a journey as JSON."""
    files = {p.name: p.read_text() for p in LOCKS.iterdir() if p.suffix in {".lock", ".toml"}}
    inputs = read_inputs(
        ["flask[async]>=2"],
        files=["r.txt"],
        constraints=["c.txt"],
        locks=files,
        read=reader({**files, "r.txt": f"a --hash=sha256:{'a' * 64}\n-i x\n-e .", "c.txt": "b<1"}),
        environ={},
    )
    assert len(inputs.locked) > 80
    assert len(inputs.constraints) == 1
    assert msgspec.json.decode(msgspec.json.encode(inputs), type=Inputs) == inputs


def test_inputs__kinds_by_name() -> None:
    """-r takes pyproject.toml and pylock.toml for what they are."""
    assert read_as("pyproject.toml", "[project]\nname='p'\ndependencies=['a']").wishes
    assert read_as("pylock.toml", (LOCKS / "pylock.pip.toml").read_text()).locked


def test_inputs__nothing_readable() -> None:
    """Files that are missing or no text are told, each with its name."""

    def read(path: Path) -> str:
        if path.suffix == ".lock":
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
        raise PermissionError(13, "Permission denied")

    with pytest.raises(BadInputError) as caught:
        read_inputs(["a b"], files=["r.txt"], locks=["uv.lock"], read=read, environ={})
    assert caught.value.problems[1:] == [
        "r.txt: cannot be read: Permission denied",
        "uv.lock: cannot be read: it is not in its encoding",
    ]
    assert caught.value.problems[0].startswith('command line: "a b" is no requirement')


def test_inputs__bounds() -> None:
    """Too much text, too many items and too many problems end the reading, in words."""
    (problem,) = problems_of("a" * (findings.MAX_TEXT + 1))
    assert problem == "requirements.txt: more than 10,000,000 characters are not read"
    problems = problems_of("a b\n" * (findings.MAX_PROBLEMS + 1))
    assert len(problems) == findings.MAX_PROBLEMS + 1
    assert problems[-1] == "more than that was not looked for"
    (problem,) = problems_of("--no-index\n" * (findings.MAX_ITEMS + 1))
    assert problem.endswith("more than 50,000 items are not read")


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 20_000,
        "a = " + "{a=" * 20_000,
        "[a" + ".a" * 20_000 + "]",
        "a = " + "9" * 5000,
        "a = 0001-01-01T00:00:00+24:00",
        '{"_meta":' + "[" * 50_000,
        "{" + '"a":' + "9" * 5000 + "}",
        " " * 200_000 + "#",
        "\\\n" * 50_000,
        "${" * 50_000,
        "a[" * 50_000,
        "a;" + "(" * 50_000,
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.timeout(20)
def test_inputs__hostile_text(name: str, text: str) -> None:
    """Text that nests or repeats without end is refused, or read, quickly and in words."""
    assert all(len(reason) < 500 and reason.isprintable() for reason in refusal(name, text))


scalars = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["a", "1.0", "2.1", "4.5.0", "extra == 'a'", "sha256:" + "a" * 64])
)  # fmt: skip
KEYS = (
    "name", "version", "source", "registry", "virtual", "dependencies", "marker", "extra",
    "package", "packages", "lock-version", "metadata", "lock_version", "groups", "files", "file",
    "hash", "hashes", "sha256", "url", "wheels", "sdist", "_meta", "pipfile-spec", "default",
    "markers", "optional", "project", "optional-dependencies", "dependency-groups",
    "include-group", "build-system", "requires",
)  # fmt: skip
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=30,
)
heads = st.sampled_from(
    [
        {"version": 1},
        {"lock-version": "1.0"},
        {"metadata": {"lock-version": "2.1"}},
        {"metadata": {"lock_version": "4.5.0"}},
        {"_meta": {"pipfile-spec": 6}},
    ]
)


@given(heads, st.dictionaries(st.sampled_from(KEYS), documents, max_size=8))
def test_inputs__any_document(head: dict[str, object], body: dict[str, object]) -> None:
    """A document of any shape is read or refused with reasons; nothing else is ever raised."""
    text = msgspec.json.encode(body | head).decode()
    assert all(reason.isprintable() for reason in refusal("any.lock", text))


examples = st.sampled_from(
    [(p.name, p.read_text()) for p in LOCKS.iterdir() if p.suffix in {".lock", ".toml"}]
)


@given(examples, st.data())
def test_inputs__broken_lock(example: tuple[str, str], data: st.DataObject) -> None:
    """A real lock with a piece cut out or put in is read or refused, never anything else."""
    name, text = example
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 40, len(text))))
    broken = text[:start] + data.draw(st.text(max_size=6)) + text[end:]
    refused = refusal(name if name.endswith("lock") else "pylock.toml", broken)
    assert all(reason.isprintable() for reason in refused)


@given(st.text(max_size=300))
def test_inputs__any_requirements(text: str) -> None:
    """Any text is a requirements file or is refused, with a line for each problem."""
    assert all(reason.isprintable() for reason in refusal("requirements.txt", text))


def test_inputs__surrogates() -> None:
    """Text that no encoding has is refused or read, and still goes over the socket."""
    assert lock_problems("\udcff", "uv.lock")
    with pytest.raises(BadInputError):
        read_inputs(["\udcff"], read=reader({}), environ={})
