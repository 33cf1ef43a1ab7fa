"""`pypicached.toml.5`: every setting with its default from the schema, and its meaning."""

from __future__ import annotations

import json

import settings_words
from roff import Page, Title, bold, plain, prose
from settings_words import Words

from pypicached.settings.schema import DEFAULT_INDEX, INDEX, INDEX_KEYS, SECTIONS, Key


class MissingWordsError(Exception):
    """A setting has no words here, or words have no setting."""


def build(title: Title) -> str:
    """Return the page; MissingWordsError unless every setting has its words."""
    _compare()
    page = Page(title, "settings of pypicached")
    page.section("Description").paragraphs(settings_words.DESCRIPTION)
    page.section("Values").paragraphs(settings_words.VALUES)
    for name, meaning in settings_words.TYPES:
        page.item(bold(name), meaning)
    page.section("Settings")
    for section, keys in SECTIONS.items():
        page.subsection(f"[{section}]").paragraphs(settings_words.SECTIONS[section])
        for name, key in keys.items():
            _add(page, name, settings_words.SETTINGS[f"{section}.{name}"], _default(key))
    page.subsection("[[index]]").paragraphs(settings_words.INDEX_SECTION)
    for name in INDEX_KEYS:
        default = "" if name in DEFAULT_INDEX else _default(INDEX[name])
        _add(page, name, settings_words.SETTINGS[f"index.{name}"], default)
    page.section("Secrets").paragraphs(settings_words.SECRETS)
    page.section("Environment").paragraphs(settings_words.ENVIRONMENT)
    page.section("Files")
    for name, meaning in settings_words.FILES:
        page.item(bold(name), meaning)
    page.section("Example").example(settings_words.EXAMPLE)
    page.section("See also").paragraphs(settings_words.SEE_ALSO)
    return page.text()


def _compare() -> None:
    known = {f"{section}.{name}" for section, keys in SECTIONS.items() for name in keys}
    known |= {f"index.{name}" for name in INDEX_KEYS}
    if differing := known ^ settings_words.SETTINGS.keys():
        raise MissingWordsError(f"settings and settings_words differ in {sorted(differing)}")
    if differing := SECTIONS.keys() ^ settings_words.SECTIONS.keys():
        raise MissingWordsError(f"sections and settings_words differ in {sorted(differing)}")


def _add(page: Page, name: str, words: Words, default: str) -> None:
    default = default or words.unset
    given = f"; default {prose(default)}" if default else ""
    page.item(rf"{bold(name)} ({plain(words.type)}{given})", words.meaning)


def _default(key: Key) -> str:
    """Return a default as it is written in a file; empty if there is none."""
    if key.default is None:
        return ""
    if isinstance(key.default, tuple | list):
        return json.dumps(list(key.default))
    return json.dumps(key.default)
