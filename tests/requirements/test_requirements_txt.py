"""Requirements files: what pip's "Requirements File Format" says, and what is told of the rest."""

from __future__ import annotations

import pytest

from pypicached.errors import BadInputError
from pypicached.requirements.model import Inputs, Origin, Wish
from tests.requirements.reading import problems_of, read_text

SHA = "sha256:" + "a" * 64
OTHER = "sha384:" + "b" * 96


def texts(inputs: Inputs) -> list[str]:
    return [wish.text for wish in inputs.wishes]


def test_file__comments_and_continuations() -> None:
    """Lines are joined before comments are cut off, and counted from the first of them."""
    inputs = read_text(
        "# head\n\nflask \\\n  >=2 # why \\\n\nx#y==1\n".replace("x#y==1", "yarl==1")
        + "a \\\n# between\nb\n"
    )
    assert [(wish.text, wish.origin.line) for wish in inputs.wishes] == [
        ("flask>=2", 3),
        ("yarl==1", 6),
        ("a", 7),
        ("b", 9),
    ]


def test_file__windows_and_byte_order_mark() -> None:
    """Other line ends and a byte order mark change nothing."""
    assert texts(read_text("\ufeffflask\r\nb \\\r\n>=1\r\n")) == ["flask", "b>=1"]


def test_file__variables() -> None:
    """Only ${UPPER_CASE} is replaced; what is unset stays, and is told where it is the reason."""
    inputs = read_text("a==${A_VERSION}\n", environ={"A_VERSION": "1.5"})
    assert texts(inputs) == ["a==1.5"]
    with pytest.raises(BadInputError, match="A_VERSION is not set"):
        read_text("a==${A_VERSION}\n", environ={"A_VERSION": ""})
    (problem,) = problems_of("a==${A_VERSION}\n")
    assert problem.startswith("requirements.txt:1: ")
    assert problem.endswith("(the variable A_VERSION is not set)")


def test_file__variables_are_not_shown() -> None:
    """What a variable brought in appears in no sentence: it may be a secret."""
    inputs = read_text(
        "git+https://${TOKEN}@index.test/x\n--index-url https://${TOKEN}@index.test/\n",
        environ={"TOKEN": "s3cret"},
    )
    assert len(inputs.left_out) == len(inputs.skipped) == 1
    assert "s3cret" not in repr(inputs)
    with pytest.raises(Exception, match=r"\$\{TOKEN\}") as caught:
        read_text("foo bar ${TOKEN}\n", environ={"TOKEN": "s3cret"})
    assert "s3cret" not in str(caught.value)


def test_file__hashes() -> None:
    """All hashes of a requirement are kept, each once, in lower case."""
    upper = "sha256:" + "A" * 64
    inputs = read_text(f"a==1 \\\n --hash={upper} \\\n --hash {OTHER} --hash={SHA}")
    assert inputs.wishes == (Wish("a==1", Origin("requirements.txt", 1), (SHA, OTHER)),)


@pytest.mark.parametrize("hash_", ["md5:" + "a" * 32, "sha256:abc", "sha256:" + "x" * 64, "sha256"])
def test_file__bad_hash(hash_: str) -> None:
    """A hash that pip would not take, or that no file can have, is refused."""
    (problem,) = problems_of(f"a==1 --hash={hash_}")
    assert problem.startswith("requirements.txt:1: ")
    assert "hash" in problem


def test_file__nested_files() -> None:
    """Files are named relative to the one that names them; constraints only where it says -c."""
    inputs = read_text(
        "-r sub/base.txt\n--constraint=sub/limits.txt\ntop\n",
        {
            "sub/base.txt": "base\n-c limits.txt\n-r../more.txt\n",
            "sub/limits.txt": "limit<2\n",
            "sub/../more.txt": "more\n",
        },
    )
    assert [(w.text, str(w.origin)) for w in inputs.wishes] == [
        ("base", "sub/base.txt:1"),
        ("more", "sub/../more.txt:1"),
        ("top", "requirements.txt:3"),
    ]
    assert [w.text for w in inputs.constraints] == ["limit<2", "limit<2"]


def test_file__requirements_within_constraints() -> None:
    """What a constraints file names with -r is required, as with pip."""
    inputs = read_text("-c limits.txt", {"limits.txt": "a<2\n-r more.txt\n", "more.txt": "b\n"})
    assert (texts(inputs), [w.text for w in inputs.constraints]) == (["b"], ["a<2"])


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        ("-r requirements.txt", {}, '"requirements.txt" includes itself'),
        ("-ra.txt", {"a.txt": "-rrequirements.txt"}, 'a.txt:1: "requirements.txt" includes itself'),
        ("-r none.txt", {}, '"none.txt" cannot be read: No such file or directory'),
        ("-r https://u:p@h/r", {}, "--requirement of an address: fetch it, and name the file"),
        ("-r a.txt -r b.txt", {}, "one -r or -c to a line: pip reads the first one alone"),
        ("-r", {}, "--requirement needs a value"),
        ("--bogus=s3cret", {}, 'no option "--bogus" is known in such files'),
        ("--no", {}, 'no option "--no" is known in such files'),
        ("-x", {}, 'no option "-x" is known in such files'),
        ("--pre=1", {}, "--pre takes no value"),
        ("a --hash='", {}, "a quotation mark in its options has no end"),
        ("--only-binary=a/b", {}, '"a/b" is no name of a project'),
        ("-c a.txt", {"a.txt": "x[e]<2"}, 'a.txt:1: a constraint cannot have extras: "x[e]<2"'),
        ("-c a.txt", {"a.txt": "-e ."}, "a.txt:1: a constraint cannot be editable"),
    ],
)  # fmt: skip
def test_file__bad_line(text: str, more: dict[str, str], expected: str) -> None:
    """A line that cannot be meant is refused with file, line and reason."""
    place = "" if expected.startswith("a.txt:") else "requirements.txt:1: "
    assert problems_of(text, more) == [place + expected]


def test_file__all_problems_at_once() -> None:
    """Every problem of every file is told in one go."""
    problems = problems_of("a b\nok\n-r more.txt\n--nope\n", {"more.txt": "c d\n"})
    assert [problem.partition(": ")[0] for problem in problems] == [
        "requirements.txt:1",
        "more.txt:1",
        "requirements.txt:4",
    ]


def test_file__a_file_that_multiplies() -> None:
    """Files that include one another in a tree without end are given up, not read for ever."""
    files = {f"f{i}.txt": f"-r f{i + 1}.txt\n" * 4 for i in range(12)} | {"f12.txt": "a\n"}
    assert any("or 1000 at all" in problem for problem in problems_of("-r f0.txt", files))


@pytest.mark.parametrize(
    ("text", "only", "none"),
    [
        ("--only-binary=:all:\n--no-binary=B.b", (":all:",), ("b-b",)),
        ("--only-binary=a,b\n--no-binary=b", ("a",), ("b",)),
        ("--no-binary=a\n--only-binary=:all:", (":all:",), ()),
        ("--no-binary=a,b\n--no-binary=:none:", (), ()),
        ("--only-binary a --only-binary A", ("a",), ()),
    ],
)
def test_file__binary_options(text: str, only: tuple[str, ...], none: tuple[str, ...]) -> None:
    """The last word about a project wins, as with pip."""
    inputs = read_text(text)
    assert (inputs.only_binary, inputs.no_binary) == (only, none)


def test_file__pre_releases() -> None:
    """--pre and --prefer-binary hold for everything, also from a nested file."""
    inputs = read_text("-r more.txt\na", {"more.txt": "--pre\n--prefer-binary"})
    assert (inputs.pre, inputs.prefer_binary) == (True, True)
    assert read_text("--all-releases=:all:").pre
    assert not read_text("--all-releases=a").pre


@pytest.mark.parametrize(
    "option",
    [
        "--index-url https://u:s3cret@index.test/simple",
        "-i https://u:s3cret@index.test/simple",
        "--extra-index-url=https://u:s3cret@index.test/simple",
        "--find-links s3cret",
        "-fs3cret",
        "--no-index",
        "--trusted-host s3cret",
        "--require-hashes",
        "--use-feature=s3cret",
        "--extra-index s3cret",
        f"--hash={SHA}",
        "a --config-settings=k=s3cret",
        "a --global-option=s3cret",
        "a -C s3cret",
        "a --pre",
        "--pre s3cret",
        "--pre -- --s3cret",
    ],
)
def test_file__skipped_options(option: str) -> None:
    """What is none of our business is named with its line and skipped; its value is not shown."""
    inputs = read_text(f"\n{option}\nb\n")
    (sentence,) = inputs.skipped
    assert sentence.startswith("requirements.txt:2: ")
    assert "s3cret" not in sentence
    assert texts(inputs)[-1] == "b"


def test_file__left_out() -> None:
    """What is on no index is told, each with its line, and the rest is read."""
    inputs = read_text("-e .\n./x-1.whl\ny @ git+https://index.test/y\nz\n")
    assert texts(inputs) == ["z"]
    assert [line.partition(": ")[0] for line in inputs.left_out] == [
        "requirements.txt:1",
        "requirements.txt:2",
        "requirements.txt:3",
    ]


def test_file__twice() -> None:
    """The same requirement twice stays twice: merging is the resolver's."""
    assert texts(read_text("a>1\na>1\n")) == ["a>1", "a>1"]
