"""`pypicached.1`: every command and option from the tree, and what no tree can say."""

from __future__ import annotations

import words
from roff import Page, Title, bold, italic, plain
from tree import Command, Parameter

# An option that means the same in so many commands is explained once, for all of them.
_SHARED_BY = 3


def build(program: Command, title: Title) -> str:
    """Return the page."""
    page = Page(title, "pull-through cache for Python package indexes")
    shared = _shared(program)
    page.section("Synopsis")
    page.synopsis("pypicached", [italic("COMMAND"), rf"[{italic('OPTIONS')}]...", "[...]"])
    page.synopsis("pypicached", ["[" + bold("--version") + "]", "[" + bold("--help") + "]"])
    page.section("Description").paragraphs(words.DESCRIPTION)
    for panel, commands in _by_panel(program).items():
        page.section(f"Commands: {panel}")
        for command in commands:
            _add(page, command, shared)
    page.section("Options of many commands")
    for option in shared:
        page.item(_term(option), _meaning(option))
    page.section("Options without a command")
    for option in program.options:
        if option not in shared:
            page.item(_term(option), _meaning(option))
    _add_rest(page)
    return page.text()


def _shared(program: Command) -> list[Parameter]:
    options = [option for command in program.walk() for option in command.options]
    return [o for o in dict.fromkeys(options) if options.count(o) >= _SHARED_BY]


def _by_panel(program: Command) -> dict[str, list[Command]]:
    panels: dict[str, list[Command]] = {}
    for command in program.walk():
        # A group's own line says nothing that its commands do not.
        if not command.commands:
            panels.setdefault(command.panel, []).append(command)
    return panels


def _add(page: Page, command: Command, shared: list[Parameter]) -> None:
    page.subsection(" ".join(command.path[1:]))
    usage = [_usage(option) for option in command.options if "--help" not in option.names]
    usage += [_usage(argument) for argument in command.arguments]
    page.synopsis(" ".join(command.path), usage)
    page.paragraphs(command.help)
    if more := words.MORE.get(command.path[1:]):
        page.paragraphs(more)
    for argument in command.arguments:
        if argument.help:
            page.item(italic(argument.placeholder.strip("[].")), _meaning(argument))
    for option in command.options:
        if option not in shared:
            page.item(_term(option), _meaning(option))


def _usage(parameter: Parameter) -> str:
    repeated = "..." if parameter.is_repeatable else ""
    if not parameter.names:
        return _placeholder(parameter.placeholder)
    shown = bold(parameter.names[0])
    if parameter.placeholder:
        # \~ does not break: an option stays beside its value.
        shown += rf"\~{_placeholder(parameter.placeholder)}"
    return f"[{shown}]{repeated}"


def _term(option: Parameter) -> str:
    value = f" {_placeholder(option.placeholder)}" if option.placeholder else ""
    return ", ".join(bold(name) + value for name in option.names)


def _placeholder(text: str) -> str:
    """Return a placeholder with its words in italics and its brackets upright."""
    inner = text.strip("[].")
    before, _, after = text.partition(inner)
    return plain(before) + "|".join(map(italic, inner.split("|"))) + plain(after)


def _meaning(parameter: Parameter) -> str:
    meaning = parameter.help
    if parameter.choices and not all(choice in meaning for choice in parameter.choices):
        meaning = f"{meaning} One of {', '.join(parameter.choices)}.".strip()
    if parameter.default:
        meaning = f"{meaning} Default: {parameter.default}.".strip()
    return meaning or "See above."


def _add_rest(page: Page) -> None:
    page.section("Exit status")
    for code, meaning in words.EXIT_CODES:
        page.item(bold(code), meaning)
    page.section("Signals").paragraphs(words.SIGNALS)
    for name, meaning in words.SIGNAL_LIST:
        page.item(bold(name), meaning)
    page.section("Environment")
    for name, meaning in words.ENVIRONMENT:
        page.item(bold(name), meaning)
    page.section("Files")
    for name, meaning in words.FILES:
        page.item(italic(name), meaning)
    page.section("Examples")
    for meaning, lines in words.EXAMPLES:
        page.paragraphs(meaning).example(lines)
    page.section("See also").paragraphs(words.SEE_ALSO)
