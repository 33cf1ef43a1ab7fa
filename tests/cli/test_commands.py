"""The commands against a fake daemon: what they ask, what they print, how they end."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from pypicached import __version__
from pypicached.cli.app import app
from pypicached.errors import LedgerError, NotFoundError
from pypicached.messages import (
    ConfigProblem,
    ExplainedFile,
    Explanation,
    FileRow,
    InvalidateRequest,
    OfflineRequest,
    Progress,
    ProjectRow,
    PruneAnswer,
    PruneRequest,
    ReloadAnswer,
    ReloadedKey,
    Stats,
    Status,
)
from pypicached.networks import ends_of, parse_network
from pypicached.requirement import Requirement, parse_requirement
from tests.control.daemon import STATUS, USED_AT, FakeOperations

# The commands that talk to the daemon.
ASKING = (
    "status",
    "stats",
    "list",
    "explain",
    "who",
    "prune",
    "verify",
    "invalidate",
    "pin",
    "unpin",
    "backup",
    "reload",
    "client",
)


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_version() -> None:
    """`--version` is one line."""
    assert _run("--version").stdout == f"pypicached {__version__}\n"


def test_help__groups() -> None:
    """The help shows every command under its group."""
    text = _run("--help").stdout
    places = [text.index(f" {panel} ") for panel in ("Run", "Look", "Change", "Set up")]
    assert places == sorted(places)
    for command in ("serve", "config", *ASKING):
        assert f"│ {command} " in text


@pytest.mark.parametrize("command", ASKING)
def test_help__socket(command: str) -> None:
    """Every command that talks to the daemon can be told its socket."""
    result = _run(command, "--help")
    assert (result.exit_code, "--socket" in result.stdout) == (0, True)


def test_status__lines(control_socket: Path) -> None:
    """In a pipe: one fact per line, moments as they are."""
    lines = _run("status", "--socket", control_socket).stdout.splitlines()
    assert lines[:2] == ["version: 0.1.0", "uptime: 3 d 4 h (pid 4711)"]
    assert "index pypi: ok since 2026-01-02T03:04:05Z https://index.example/simple/" in lines
    assert "downloading: torch-2.0-py3-none-any.whl 1 GiB of 2 GiB (50 %), readers: 3" in lines
    assert lines[-1] == "problem: index acme: failing since Friday"


def test_status__json(control_socket: Path) -> None:
    """`--json` is one document, and the contract's keys are in it."""
    document = json.loads(_run("status", "--json", "--socket", control_socket).stdout)
    assert msgspec.convert(document, Status) == STATUS
    keys = "version uptime_seconds offline listeners indexes disk hit_rate_24h downloads problems"
    assert set(keys.split()) <= document.keys()


def test_status__check_with_problems(control_socket: Path) -> None:
    """`--check` prints the problems, a line each, and fails."""
    result = _run("status", "--check", "--socket", control_socket)
    assert (result.exit_code, result.stdout) == (1, "index acme: failing since Friday\n")


def test_status__check_without(control_socket: Path, operations: FakeOperations) -> None:
    """`--check` succeeds where there is nothing to say."""
    operations.answer = msgspec.structs.replace(STATUS, problems=[])
    result = _run("status", "--check", "--socket", control_socket)
    assert (result.exit_code, result.stdout) == (0, "no problems\n")


def test_status__escapes(control_socket: Path, operations: FakeOperations) -> None:
    """What an upstream sent cannot steer the terminal, nor start a line of its own."""
    operations.answer = msgspec.structs.replace(STATUS, problems=["a\x1b[2J\nproblem: b"])
    for arguments in (("status",), ("status", "--check")):
        lines = _run(*arguments, "--socket", control_socket).stdout.splitlines()
        assert lines[-1].endswith("a?[2J?problem: b")


def test_stats__lines(control_socket: Path, operations: FakeOperations) -> None:
    """The period is read as a duration; each table has a line of names and tabs between."""
    result = _run("stats", "--since", "90m", "--top", "3", "--socket", control_socket)
    assert operations.asked == [(5400.0, 3)]
    tables = [table.splitlines() for table in result.stdout.split("\n\n")]
    assert [table[0].split("\t")[0] for table in tables] == [
        f"since {USED_AT}",
        "kind",
        "index",
        "project",
    ]
    columns = dict(zip(tables[1][0].split("\t"), tables[1][1].split("\t"), strict=True))
    assert (columns["kind"], columns["hits"], columns["bytes_from_cache"]) == ("file", "7", "1536")


def test_stats__json(control_socket: Path) -> None:
    """The document is that of the contract."""
    document = json.loads(_run("stats", "--json", "--socket", control_socket).stdout)
    assert msgspec.convert(document, Stats).kinds["file"].hits == 7


def test_explain__lines(control_socket: Path, operations: FakeOperations) -> None:
    """A line a file: its state, and why it is not listed, without its name again."""
    result = _run("explain", "Demo>=1", "--socket", control_socket)
    assert (result.exit_code, operations.asked) == (0, ["demo>=1"])
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert lines[0] == ["filename", "index", "uploaded_at", "state", "cached", "reason"]
    assert lines[1] == ["demo-1.0.tar.gz", "pypi", USED_AT, "listed", "cached", ""]
    assert lines[2][3:] == [
        "refused",
        "",
        "held back by [policy] min_age until 2026-01-09 03:04 UTC",
    ]


def test_explain__order(control_socket: Path, operations: FakeOperations) -> None:
    """Files stand by version, the newest last; those that tell none come first."""

    async def explain(asked: Requirement) -> Explanation:
        versions = ["1.10", "1.9", None, "1.10rc1"]
        return Explanation(
            asked.project,
            files=[
                ExplainedFile(f"demo-{v}", "pypi", v, USED_AT, True, True, True, None, "")
                for v in versions
            ],
        )

    operations.explain = explain  # type: ignore[method-assign]
    lines = _run("explain", "demo", "--socket", control_socket).stdout.splitlines()[1:]
    names = [line.partition("\t")[0] for line in lines]
    assert names == ["demo-None", "demo-1.9", "demo-1.10rc1", "demo-1.10"]


@pytest.mark.parametrize(
    ("command", "document"),
    [
        (["list", "nope"], []),
        (["who", "nope"], []),
        (
            ["explain", "Nope<2"],
            {
                "project": "nope",
                "index": None,
                "checked_at": None,
                "refused": None,
                "files": [],
            },
        ),
    ],
)
def test_json__nothing_known(
    command: list[str], document: object, control_socket: Path, operations: FakeOperations
) -> None:
    """Where nothing is known of a project there is a document all the same, and code 1."""
    operations.error = NotFoundError("nothing of nope")
    result = _run(*command, "--json", "--socket", control_socket)
    assert (result.exit_code, json.loads(result.stdout)) == (1, document)
    assert result.stderr.startswith("pypicached: nothing ")


def test_explain__json(control_socket: Path) -> None:
    """One document."""
    document = json.loads(_run("explain", "demo", "--json", "--socket", control_socket).stdout)
    assert [file["rule"] for file in document["files"]] == [None, "min_age"]


@pytest.mark.parametrize("asked", ["demo[extra]", "-x/", "demo @ file:///x", "demo; os_name"])
def test_explain__no_requirement(control_socket: Path, asked: str) -> None:
    """What is no project with versions is wrong usage, in one sentence."""
    result = _run("explain", "--socket", control_socket, "--", asked)
    assert result.exit_code == 2
    assert "requirement" in result.stderr or "only a name" in result.stderr


def test_list__projects(control_socket: Path, operations: FakeOperations) -> None:
    """In a pipe sizes are bytes and moments ISO 8601, for sort and awk."""
    result = _run("list", "--sort", "hits", "--socket", control_socket)
    assert operations.asked == ["hits"]
    assert result.stdout.splitlines() == [
        "project\tfiles\tsize_bytes\tlast_used_at\thits",
        f"demo\t1\t1536\t{USED_AT}\t7",
    ]


def test_list__escapes(control_socket: Path, operations: FakeOperations) -> None:
    """A name cannot make a column, a line or an escape sequence of its own."""
    operations.projects = [ProjectRow("a\tb\n\x1b[2J", 1, 2, USED_AT, 3)]
    lines = _run("list", "--socket", control_socket).stdout.splitlines()
    assert lines[1:] == [f"a?b??[2J\t1\t2\t{USED_AT}\t3"]


def test_list__files(control_socket: Path, operations: FakeOperations) -> None:
    """A project is asked for by its normalized name; its files say what is special of them."""
    result = _run("list", "DEMO", "--socket", control_socket)
    assert operations.asked == [("demo", "size")]
    assert result.stdout.splitlines()[1].endswith("\t7\tpinned")


def test_list__unverified(control_socket: Path, operations: FakeOperations) -> None:
    """Of metadata, which seldom has a digest, it is not told that it is unverified."""

    async def list_files(project: str, sort: str) -> Iterator[FileRow]:
        assert (project, sort) == ("demo", "size")
        names = ["demo-1.0.whl", "demo-1.0.whl.metadata"]
        return iter(
            [FileRow(n, "pypi", 1, "ab", USED_AT, USED_AT, 1, verified=False) for n in names]
        )

    operations.list_files = list_files  # type: ignore[method-assign]
    lines = _run("list", "demo", "--socket", control_socket).stdout.splitlines()[1:]
    assert [line.rpartition("\t")[2] for line in lines] == ["unverified", ""]


def test_list__json(control_socket: Path) -> None:
    """Both listings are lists of the contract's rows."""
    projects = json.loads(_run("list", "--json", "--socket", control_socket).stdout)
    files = json.loads(_run("list", "demo", "--json", "--socket", control_socket).stdout)
    assert projects[0].keys() == {"project", "files", "size_bytes", "last_used_at", "hits"}
    keys = "filename index size_bytes sha256 first_cached_at last_used_at hits pinned"
    assert set(keys.split()) <= files[0].keys()


def test_list__unknown(control_socket: Path) -> None:
    """A project of which nothing is cached ends with 1 and a sentence on standard error."""
    result = _run("list", "other", "--socket", control_socket)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "pypicached: nothing of other is cached\n"


def test_who__lines(control_socket: Path, operations: FakeOperations) -> None:
    """In a pipe: names, tabs, moments as they are; how complete it is on standard error."""
    result = _run(
        "who", "Demo<2", "--client", "10.0.0.0/8", "--refused", "--socket", control_socket
    )
    (question,) = operations.asked
    assert (str(question.requirement), question.refused, question.since) == ("demo<2", True, 0.0)
    assert question.clients == ends_of(parse_network("10.0.0.0/8"))
    assert result.stdout.splitlines() == [
        "client\tagent\tfilename\tfirst_at\tlast_at\tcount\tproject\tversion",
        *[f"10.0.0.7\tpip/25.0\tdemo-1.0.tar.gz\t{USED_AT}\t{USED_AT}\t3\tdemo\t1.0"] * 2,
    ]
    assert result.stderr == f"pypicached: 2 rows; records are complete since {USED_AT}\n"


def test_who__json(control_socket: Path, operations: FakeOperations) -> None:
    """`--json` is one document with the contract's rows, an empty one where there is none."""
    (row, _) = json.loads(_run("who", "--json", "--socket", control_socket).stdout)
    keys = "client agent project version filename first_at last_at count"
    assert set(keys.split()) <= row.keys()
    operations.fetched = []
    result = _run("who", "demo", "--json", "--socket", control_socket)
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])


def test_who__nobody(control_socket: Path, operations: FakeOperations) -> None:
    """That nobody fetched it is a sentence, and no failure; so is what is missing."""
    operations.fetched, operations.note = [], "some of it is missing"
    result = _run("who", "demo", "--socket", control_socket)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "pypicached: nothing of that was fetched by any client",
        f"pypicached: 0 rows; records are complete since {USED_AT}",
        "pypicached: some of it is missing",
    ]


def test_who__unknown(control_socket: Path) -> None:
    """A project of which nothing is known ends with 1, as `list` does."""
    result = _run("who", "other", "--socket", control_socket)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "pypicached: nothing is known of it\n"


@pytest.mark.parametrize(
    ("since", "moment"),
    [
        ("2026-01-02", 1_767_312_000.0),
        ("2026-01-02T03:04:05Z", 1_767_323_045.0),
        ("2026-01-02T03:04:05", 1_767_323_045.0),
        ("2026-01-02T04:04:05+01:00", 1_767_323_045.0),
    ],
)
def test_who__since_a_moment(
    control_socket: Path,
    operations: FakeOperations,
    monkeypatch: pytest.MonkeyPatch,
    since: str,
    moment: float,
) -> None:
    """A date or a moment is that of UTC, unless it says another zone, wherever one is."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        _run("who", "--since", since, "--socket", control_socket)
    time.tzset()
    assert [question.since for question in operations.asked] == [moment]


def test_who__since_a_duration(control_socket: Path, operations: FakeOperations) -> None:
    """A duration is so long ago."""
    before = time.time() - 7 * 86_400
    _run("who", "--since", "7d", "--socket", control_socket)
    assert before <= operations.asked[0].since <= time.time() - 7 * 86_400


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--since", "last week"), "neither a duration nor a date; say e.g. --since 7d"),
        (("--client", "10.1.2.3/8"), 'is an address inside a network; say "10.0.0.0/8"'),
        (("foo[bar]",), "has extras"),
    ],
)
def test_who__wrong_usage(
    control_socket: Path, operations: FakeOperations, arguments: tuple[str, ...], words: str
) -> None:
    """What cannot be asked is wrong usage, in words, and no daemon is asked."""
    result = _run("who", *arguments, "--socket", control_socket)
    assert (result.exit_code, words in result.stderr, operations.asked) == (2, True, [])


def test_prune__request(control_socket: Path, operations: FakeOperations) -> None:
    """Sizes, projects and the dry run reach the daemon; what goes is printed."""
    result = _run(
        "prune", "--to-size", "1.5GiB", "--project", "Demo_A", "--project", "b", "--dry-run",
        "--socket", control_socket,
    )  # fmt: skip
    request = PruneRequest(to_size_bytes=3 * 2**29, projects=["demo-a", "b"], dry_run=True)
    assert operations.asked == [request]
    assert result.stdout.splitlines() == [
        "project\tfilename\tsize_bytes\tlast_used_at",
        f"demo\tdemo-1.0.tar.gz\t4096\t{USED_AT}",
        "would remove 1 file and 2 pages, 8 KiB",
    ]


def test_prune__everything(control_socket: Path, operations: FakeOperations) -> None:
    """`--days 0` is a number like others, not the absence of one."""
    result = _run("prune", "--days", "0", "--socket", control_socket)
    assert operations.asked == [PruneRequest(days=0)]
    assert result.stdout.splitlines()[-1] == "removed 1 file and 2 pages, 8 KiB"


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_prune__what_could_not_be_removed(
    control_socket: Path, operations: FakeOperations, arguments: tuple[str, ...]
) -> None:
    """What stays is named, and the exit code is 1: some of it failed."""

    async def steps(_: PruneRequest) -> AsyncIterator[Progress | PruneAnswer]:
        yield PruneAnswer(False, [], 2, 0, ["demo-1.0.zip"])

    operations.prune_steps = steps
    result = _run("prune", "--days", "0", *arguments, "--socket", control_socket)
    assert "demo-1.0.zip" in result.stdout
    assert result.exit_code == 1


def test_prune__json(control_socket: Path) -> None:
    """One document, whatever progress there was."""
    result = _run("prune", "--days", "1", "--json", "--socket", control_socket)
    assert json.loads(result.stdout).keys() == {
        "dry_run", "files", "pages", "bytes", "failed", "pinned",
    }  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ("prune",),
        ("prune", "--dry-run"),
        ("prune", "--days", "nan"),
        ("prune", "--store", "--days", "inf"),
        ("prune", "--days", "1", "--to-size", "1G"),
        ("prune", "--to-size", "huge"),
        ("prune", "--days", "1", "--project", "a b"),
        ("invalidate",),
        ("invalidate", "--files"),
        ("invalidate", "demo", "--all"),
        ("invalidate", "--project-list", "--files"),
        ("invalidate", "../x"),
        ("pin", "flask[async]"),
        ("pin", "flask", "flask=3"),
        ("unpin",),
        ("unpin", "flask @ https://files.test/flask-1.0.tar.gz"),
        ("list", "x-"),
        ("stats", "--since", "yesterday"),
        ("client", "pip", "--url", "http://u:p@h"),
    ],
)
def test_usage__one_sentence(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Wrong usage is one sentence and code 2, before any daemon is asked."""
    result = _run(*arguments, "--socket", tmp_path / "none.sock")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("pypicached: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["prune", "invalidate", "unpin"])
def test_usage__example(command: str) -> None:
    """Without anything to work on the sentence shows how it is done."""
    assert f"`pypicached {command} " in _run(command).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("prune", "--days", "x"),
        ("list", "--sort", "colour"),
        ("what",),
        ("offline",),
        ("offline", "maybe"),
    ],
)
def test_usage__parser(arguments: tuple[str, ...]) -> None:
    """What the parser refuses ends with 2 as well."""
    assert _run(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "request_"),
    [
        (("Demo", "other"), InvalidateRequest(projects=["demo", "other"])),
        (("--all", "--files"), InvalidateRequest(everything=True, files=True)),
        (("--project-list", "--index", "i"), InvalidateRequest(project_list=True, index="i")),
    ],
)
def test_invalidate__request(
    control_socket: Path,
    operations: FakeOperations,
    arguments: tuple[str, ...],
    request_: InvalidateRequest,
) -> None:
    """Each way of saying what to invalidate reaches the daemon."""
    assert _run("invalidate", *arguments, "--socket", control_socket).exit_code == 0
    assert operations.asked == [request_]


@pytest.mark.parametrize(
    ("switch", "said"),
    [
        (
            "on",
            "upstreams are not asked: only what is cached is listed and served\n"
            "2 downloads under way may end\n",
        ),
        ("off", "upstreams are asked already\n"),
    ],
)
def test_offline__says_how_it_is(
    control_socket: Path, operations: FakeOperations, switch: str, said: str
) -> None:
    """The switch reaches the daemon, and what holds from now on is said, or that it did before."""
    result = _run("offline", switch, "--socket", control_socket)
    assert (result.exit_code, result.stdout) == (0, said)
    assert operations.asked == [OfflineRequest(switch == "on")]


def test_reload__says_what_changed(control_socket: Path, operations: FakeOperations) -> None:
    """What is in force by now goes to stdout; what waits, and what is to be thought about, not."""
    operations.reloaded = ReloadAnswer(
        file="/etc/pypicached/pypicached.toml",
        changed=[ReloadedKey("policy.deny", "changed"), ReloadedKey("index.acme", "added")],
        needs_restart=["server.listen", "cache.directory"],
        warnings=["index.acme: its credentials cross the network in clear (http://)"],
    )
    result = _run("reload", "--socket", control_socket)
    assert (result.exit_code, result.stdout) == (0, "policy.deny changed\nindex.acme added\n")
    assert result.stderr.splitlines() == [
        "pypicached: warning: index.acme: its credentials cross the network in clear (http://)",
        "pypicached: needs a restart: server.listen, cache.directory",
    ]
    result = _run("reload", "--json", "--socket", control_socket)
    assert (result.exit_code, result.stderr) == (0, "")
    assert msgspec.convert(json.loads(result.stdout), ReloadAnswer) == operations.reloaded


def test_reload__refused(control_socket: Path, operations: FakeOperations) -> None:
    """A bad configuration is told as `config check` does, and the command ends with 2."""
    problem = ConfigProblem("cache.max_sise", "unknown key", "did you mean max_size?")
    operations.reloaded = ReloadAnswer(problems=[problem])
    result = _run("reload", "--socket", control_socket)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[0] == "cache.max_sise: unknown key; did you mean max_size?"
    assert _run("reload", "--json", "--socket", control_socket).exit_code == 2


def test_invalidate__unknown(control_socket: Path) -> None:
    """A project that had no page is named: it may be a slip; what was asked holds anyway."""
    result = _run("invalidate", "demo", "dmeo", "--files", "--socket", control_socket)
    assert (result.exit_code, result.stderr) == (0, "pypicached: nothing was cached of dmeo\n")
    assert result.stdout == "1 page will be asked for anew\n2 files removed, 3 KiB\n"


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_invalidate__pinned(
    control_socket: Path, operations: FakeOperations, arguments: tuple[str, ...]
) -> None:
    """A pinned file stays, is named, and the exit code is 1: some of it was not done."""
    operations.pinned = ["demo-1.0.tar.gz"]
    result = _run("invalidate", "demo", "--files", *arguments, "--socket", control_socket)
    assert result.exit_code == 1
    assert "demo-1.0.tar.gz" in (result.stdout if arguments else result.stderr)


def test_pin__lists(control_socket: Path) -> None:
    """Without requirements it lists the pins, a line each in a pipe, or as JSON."""
    result = _run("pin", "--socket", control_socket)
    assert result.stdout == "requirement\tfiles\tsize_bytes\ndemo==1.*\t2\t1536\n"
    (row,) = json.loads(_run("pin", "--json", "--socket", control_socket).stdout)
    assert row == {"requirement": "demo==1.*", "files": 2, "size_bytes": 1536}


def test_pin__told(control_socket: Path, operations: FakeOperations) -> None:
    """What is new is told with what it holds, what was pinned already as such; both are well."""
    result = _run("pin", "Flask == 3.*", "demo", "--socket", control_socket)
    assert operations.asked == [[parse_requirement("flask==3.*"), parse_requirement("demo")]]
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "pinned flask==3.*: 2 files cached, 1.5 KiB",
        "demo was pinned already",
    ]


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_unpin__not_pinned(control_socket: Path, arguments: tuple[str, ...]) -> None:
    """What is not pinned is named, and the exit code is 1; the rest is done."""
    result = _run("unpin", "demo", "flask", *arguments, "--socket", control_socket)
    assert result.exit_code == 1
    assert result.stderr == "pypicached: flask is not pinned; `pypicached pin` lists what is\n"
    if arguments:
        assert json.loads(result.stdout)["changed"][0]["requirement"] == "demo"
    else:
        assert result.stdout == "unpinned demo: no file\n"
    assert _run("unpin", "demo", "--socket", control_socket).exit_code == 0


def test_verify__all_well(control_socket: Path, operations: FakeOperations) -> None:
    """Without damage: one line, and 0."""
    result = _run("verify", "--socket", control_socket)
    assert (operations.asked, result.exit_code) == ([([], False)], 0)
    assert result.stdout == "read 3 files, 4 KiB: all is well\n"


@pytest.mark.parametrize(
    ("arguments", "code", "now", "sentence"),
    [((), 1, "damaged", "1 damaged"), (("--repair",), 0, "dropped", "1 dropped, to be fetched")],
)
def test_verify__damage(
    control_socket: Path,
    operations: FakeOperations,
    arguments: tuple[str, ...],
    code: int,
    now: str,
    sentence: str,
) -> None:
    """Damage that remains is 1, repaired damage 0; a line each, with the contract's keys."""
    operations.damaged = ["demo-1.0.zip"]
    result = _run("verify", "Demo", *arguments, "--socket", control_socket)
    assert (operations.asked, result.exit_code) == ([(["demo"], bool(arguments))], code)
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        "project\tfilename\tproblem\trepaired",
        f"demo\tdemo-1.0.zip\tmissing\t{now}",
    ]
    assert sentence in lines[2]
    result = _run("verify", "demo", *arguments, "--json", "--socket", control_socket)
    document = json.loads(result.stdout)
    assert (result.exit_code, document.keys()) == (code, {"checked", "bytes", "problems"})
    assert document["problems"][0].keys() == {"project", "filename", "problem", "repaired"}


def test_error__no_daemon(tmp_path: Path) -> None:
    """Without a daemon: 3, and one line."""
    result = _run("status", "--socket", tmp_path / "none.sock")
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)


def test_error__daemons_own(control_socket: Path, operations: FakeOperations) -> None:
    """An error of the daemon is one line and 1."""
    operations.error = LedgerError("the ledger is locked")
    result = _run("status", "--socket", control_socket)
    assert (result.exit_code, result.stderr) == (1, "pypicached: the ledger is locked\n")


def test_socket__from_the_environment(
    control_socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PYPICACHED_SOCKET says where the daemon is."""
    monkeypatch.setenv("PYPICACHED_SOCKET", str(control_socket))
    assert _run("list").exit_code == 0


def test_client__address_of_the_daemon(control_socket: Path) -> None:
    """A recipe carries the first TCP listener of the running daemon."""
    result = _run("client", "pip", "--socket", control_socket)
    assert "index-url = http://127.0.0.1:4444/simple/\n" in result.stdout


def test_client__address_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a daemon it carries what the settings say."""
    monkeypatch.setenv("PYPICACHED_SOCKET", str(tmp_path / "none.sock"))
    monkeypatch.setenv("PYPICACHED_SERVER__LISTEN", "127.0.0.1:5555")
    assert "http://127.0.0.1:5555/simple/" in _run("client", "pip").stdout


def test_client__default_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken configuration does not stop a recipe."""
    monkeypatch.setenv("PYPICACHED_SOCKET", str(tmp_path / "none.sock"))
    monkeypatch.setenv("PYPICACHED_SERVER__LISTEN", "nonsense:nonsense")
    assert "http://127.0.0.1:3143/simple/" in _run("client", "pip").stdout


def test_client__given_socket_silent(tmp_path: Path) -> None:
    """Somebody who names a socket wants that daemon and no other."""
    assert _run("client", "pip", "--socket", tmp_path / "none.sock").exit_code == 3


def test_client__given_url() -> None:
    """`--url` wins and asks nobody."""
    result = _run("client", "uv", "--url", "https://cache.example")
    assert 'url = "https://cache.example/simple/"\n' in result.stdout


def test_stats__since_nonsense(control_socket: Path) -> None:
    """What is no duration is quoted, with one that is."""
    result = _run("stats", "--since", "foo", "--socket", control_socket)
    assert (result.exit_code, result.stderr) == (
        2,
        'pypicached: --since: "foo" is no duration; for example --since 24h\n',
    )
