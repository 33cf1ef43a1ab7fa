"""Requirement sets of every difficulty, each with its own index: what pip makes of them is tried.

`python_version` and the like in markers are met by every Python from 3.11 on, or by none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.fake.wheels import DistFile, make_sdist, make_wheel

OLD = 'python_version < "3.8"'
NEW = 'python_version >= "3.8"'


@dataclass
class Case:
    """`index`: files; `wishes` and `constraints`: lines; `options`: of pip's command line."""

    index: list[tuple[str, DistFile]]
    wishes: list[str]
    constraints: list[str] = field(default_factory=list)
    pre: bool = False
    only_binary: list[str] = field(default_factory=list)
    no_binary: list[str] = field(default_factory=list)
    with_dependencies: bool = True
    # Wish → the digests that it allows.
    hashes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def options(self) -> list[str]:
        """The options that pip needs beside the files."""
        found = ["--pre"] if self.pre else []
        found += [f"--only-binary={name}" for name in self.only_binary]
        found += [f"--no-binary={name}" for name in self.no_binary]
        return found + ([] if self.with_dependencies else ["--no-deps"])


def w(name: str, *requires: str, **more: object) -> tuple[str, DistFile]:
    """Return a wheel: "demo 1.0" and what it requires."""
    project, version = name.split()
    return project, make_wheel(project, version, requires=requires, **more)  # type: ignore[arg-type]


def s(name: str, *requires: str, **more: object) -> tuple[str, DistFile]:
    """Return an sdist with static metadata."""
    project, version = name.split()
    made = make_sdist(project, version, requires=requires, metadata_version="2.2", **more)  # type: ignore[arg-type]
    return project, made


def many(project: str, versions: Iterable[str], *requires: str) -> list[tuple[str, DistFile]]:
    """Return a wheel of each version."""
    return [w(f"{project} {version}", *requires) for version in versions]


PLAIN, BINARY, OLDER = w("a 1.0"), w("a 1.0", tag="cp311-abi3-linux_x86_64"), w("a 0.9")

CASES: dict[str, Case] = {
    "a hash of the lesser file": Case(
        [PLAIN, BINARY, OLDER], ["a==1.0"], hashes={"a==1.0": [f"sha256:{PLAIN[1].sha256}"]}
    ),
    "hashes of several": Case(
        [PLAIN, BINARY, OLDER], ["a==1.0"],
        hashes={"a==1.0": [f"sha256:{file.sha256}" for _, file in (OLDER, PLAIN, BINARY)]},
    ),
    "a hash of what was yanked": Case(
        [w("a 2.0", yanked=True), w("a 1.0"), s("a 2.0")], ["a==2.0"],
        hashes={"a==2.0": [f"sha256:{w('a 2.0')[1].sha256}"]},
    ),
    "one project": Case(many("a", ["1.0", "1.10", "1.9"]), ["a"]),
    "a tree": Case(
        [w("a 1.0", "b", "c>=1"), w("b 1.0", "d"), *many("c", ["0.9", "1.1"], "d<2"),
         *many("d", ["1.0", "2.0"])],
        ["a"],
    ),
    "ranges": Case(
        [*many("a", ["1.0", "1.5", "2.0", "2.1"])], ["a>=1,!=1.5,<2.1", "a~=1.0"],
    ),
    "compatible and wildcard": Case(
        [*many("a", ["1.4.2", "1.4.9", "1.5.0"]), *many("b", ["2.0", "2.1", "3.0"])],
        ["a~=1.4.2", "b==2.*"],
    ),
    "a pin": Case([*many("a", ["1.0", "2.0"], "b"), *many("b", ["1.0"])], ["a==1.0"]),
    "arbitrary equality": Case(many("a", ["1.0", "2.0"]), ["a===1.0"]),
    "conflict solved by an older version": Case(
        [w("a 1.0", "c<2"), w("a 2.0", "c>=2"), w("b 1.0", "c<2"), *many("c", ["1.0", "2.0"])],
        ["a", "b"],
    ),
    "backtracking through many": Case(
        [w(f"a {n}.0", f"c=={n}.0") for n in range(1, 13)]
        + [w(f"b {n}.0", f"c=={13 - n}.0") for n in range(1, 13)]
        + many("c", [f"{n}.0" for n in range(1, 13)]),
        ["a", "b"],
    ),
    "backtracking deep in the tree": Case(
        [*many("top", ["1.0", "2.0", "3.0"], "mid"),
         *[w(f"mid {n}.0", f"low>={n}") for n in range(1, 9)],
         *many("low", ["1.0", "2.0", "3.0", "8.0"]), w("side 1.0", "low<4")],
        ["top", "side"],
    ),
    "upper bounds decide first": Case(
        [*[w(f"x {n}.0", f"z<={n}") for n in range(1, 6)],
         *[w(f"y {n}.0", f"z>={n}") for n in range(1, 6)], *many("z", ["1", "2", "3", "4", "5"])],
        ["y", "x<4"],
    ),
    "three that pull": Case(
        [w("p 1.0", "q", "r"), w("p 2.0", "q>=2", "r>=2"), w("q 1.0", "t<3"), w("q 2.0", "t<2"),
         w("r 1.0", "t"), w("r 2.0", "t>=2"), *many("t", ["1.0", "2.0", "3.0"])],
        ["p", "t"],
    ),
    "a cycle": Case([w("a 1.0", "b"), w("b 1.0", "c"), w("c 1.0", "a")], ["a"]),
    "a cycle that holds back": Case(
        [w("a 1.0", "b"), w("a 2.0", "b"), w("b 1.0", "a<2"), w("b 0.5", "a")], ["a"],
    ),
    "needs itself by an extra": Case(
        [w("a 1.0", "b; extra == 'x'", "a[x]; extra == 'all'", "c; extra == 'y'",
           "a[y]; extra == 'all'", extras=["x", "y", "all"]), w("b 1.0"), w("c 1.0")],
        ["a[all]"],
    ),
    "extras": Case(
        [w("a 1.0", "b; extra == 'x'", "c", extras=["x"]), w("b 1.0"), w("c 1.0")],
        ["a[x]"],
    ),
    "an extra that is not declared": Case(
        [w("a 1.0", "b; extra == 'x'", extras=["z"]), w("b 1.0")], ["a[x]"],
    ),
    "extras with markers": Case(
        [w("a 1.0", f"b; extra == 'x' and {OLD}", f"c>=1; extra == 'x' and {NEW}",
           f"d; {OLD} or extra == 'y'", extras=["x", "y"]),
         w("b 1.0"), *many("c", ["0.5", "1.5"]), w("d 1.0")],
        ["a[x]", "a[y]>=1"],
    ),
    "extras narrow their base": Case(
        [w("a 1.0", "b<2; extra == 'x'", extras=["x"]), w("a 2.0", "b>=2; extra == 'x'",
         extras=["x"]), *many("b", ["1.0", "2.0"]), w("other 1.0", "b<2")],
        ["a[x]", "other"],
    ),
    "extras of a dependency": Case(
        [w("top 1.0", "a[x,y]>=1"), w("a 1.0", "b; extra == 'x'", "c; extra == 'y'",
         extras=["x", "y"]), *many("b", ["1.0"]), *many("c", ["1.0"])],
        ["top"],
    ),
    "two extras of one, by two": Case(
        [w("p 1.0", "a[x]<3"), w("q 1.0", "a[y]"),
         *[w(f"a {n}.0", "b; extra == 'x'", f"c=={n}.0; extra == 'y'", extras=["x", "y"])
           for n in range(1, 5)], w("b 1.0"), *many("c", ["1.0", "4.0"])],
        ["p", "q"],
    ),
    "markers": Case(
        [w("a 1.0", f"old; {OLD}", f"new; {NEW}", "win; sys_platform == 'win32'"), w("new 1.0")],
        ["a", f"nothere; {OLD}"],
    ),
    "requires-python on the page": Case(
        [w("a 1.0"), w("a 2.0", requires_python=">=3.99"), w("a 1.5", requires_python=">=3.6")],
        ["a"],
    ),
    "yanked is passed over": Case([w("a 1.0"), w("a 2.0", yanked="broken")], ["a"]),
    "yanked and pinned": Case([w("a 1.0"), w("a 2.0", yanked=True)], ["a==2.0"]),
    "yanked and pinned by a dependency": Case(
        [w("top 1.0", "a==2.0"), w("a 1.0"), w("a 2.0", yanked=True)], ["top"],
    ),
    "one of two files is yanked": Case(
        [w("a 2.0", yanked=True), s("a 2.0"), w("a 1.0")], ["a==2.0"],
    ),
    "pre-releases are passed over": Case(many("a", ["1.0", "2.0rc1", "2.0.dev3"]), ["a"]),
    "pre-releases only": Case(many("a", ["1.0a1", "1.0b2"]), ["a"]),
    "a pre-release is named": Case(
        [*many("a", ["1.0", "2.0rc1", "2.0rc2"]), w("top 1.0", "a>=2.0rc1")], ["top"],
    ),
    "pre-releases asked for": Case(
        [*many("a", ["1.0", "2.0rc1"], "b"), *many("b", ["1.0", "1.1b1"])], ["a"], pre=True,
    ),
    "pre-release of a range without finals": Case(many("a", ["1.0", "2.0b1"]), ["a>1.0"]),
    "post and local versions": Case(
        many("a", ["1.0", "1.0.post1", "1.0.post2.dev1", "1.0+local.2"]), ["a>=1.0,<1.1"],
    ),
    "epochs": Case(many("a", ["2024.1", "1!1.0", "1!0.9"]), ["a"]),
    "constraints": Case(
        [*many("a", ["1.0", "2.0"], "b"), *many("b", ["1.0", "2.0", "3.0"])],
        ["a"], constraints=["b<3", "a<2", "unused==9", f"b<1; {OLD}", "B!=2.0"],
    ),
    "constraints with extras": Case(
        [*[w(f"a {n}.0", "b; extra == 'x'", extras=["x"]) for n in (1, 2)],
         *many("b", ["1.0", "2.0"])],
        ["a[x]"], constraints=["a<2", "b==1.0"],
    ),
    "a wheel before an sdist": Case([w("a 1.0"), s("a 1.0"), s("a 0.9")], ["a"]),
    "a newer sdist before an older wheel": Case(
        [w("a 1.0"), s("a 2.0", "b"), w("b 1.0")], ["a"],
    ),
    "only binary": Case([w("a 1.0"), s("a 2.0")], ["a"], only_binary=[":all:"]),
    "no binary of one": Case(
        [w("a 2.0"), s("a 1.0"), w("b 1.0"), s("b 1.0")], ["a", "b"], no_binary=["a"],
    ),
    "only binary but one": Case(
        [w("a 1.0"), s("a 2.0"), s("b 2.0"), w("b 1.0")], ["a", "b"],
        only_binary=[":all:"], no_binary=["b"],
    ),
    "tags": Case(
        [w("a 1.0"), w("a 1.0", tag="cp311-abi3-manylinux2014_x86_64"),
         w("a 1.0", tag="cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64"),
         w("a 1.1", tag="cp311-cp311-win_amd64"), w("a 1.0", tag="py2.py3-none-any")],
        ["a"],
    ),
    "build tags": Case(
        [w("a 1.0", tag="1-py3-none-any"),
         w("a 1.0", tag="2b-py3-none-any"), w("a 1.0")],
        ["a"],
    ),
    "names in every spelling": Case(
        [w("foo-bar 1.0", "Baz_Qux>=1"), *many("baz.qux", ["0.1", "1.0"])], ["Foo_Bar", "foo.bar"],
    ),
    "no dependencies": Case(
        [w("a 1.0", "b", "c; extra == 'x'", extras=["x"]), w("b 1.0")], ["a[x]"],
        with_dependencies=False,
    ),
    "a missing dependency of the newest": Case(
        [w("a 2.0", "gone"), w("a 1.0", "b"), w("b 1.0")], ["a"],
    ),
    "metadata that is invalid": Case(
        [w("a 2.0", "b ???"), w("a 1.0", "b"), w("b 1.0")], ["a"],
    ),
    "the order of wishes counts": Case(
        [*[w(f"m {n}.0", f"k=={n}.0") for n in range(1, 5)],
         *[w(f"n {n}.0", f"k=={5 - n}.0") for n in range(1, 5)],
         *many("k", ["1.0", "2.0", "3.0", "4.0"])],
        ["n", "m"],
    ),
}  # fmt: skip
