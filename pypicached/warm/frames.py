"""What the resolver's process and the daemon say to each other: msgpack behind four length bytes.

The resolver asks, many things at once, and the daemon answers in any order. Both ends are ours and
of one version.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.warm.plan import Job, Plan

# here: it is in the answer; not-found, refused: not to be had; unusable: damaged or wrong, so do
# without; failed: nobody knows, so nothing may be concluded.
Outcome = Literal["here", "not-found", "refused", "unusable", "failed"]

# An sdist is asked for its metadata.
Kind = Literal["page", "metadata"]


class AskPage(msgspec.Struct, frozen=True, tag="page"):
    """Ask for the page of a project, as the rules leave it."""

    project: str


class AskMetadata(msgspec.Struct, frozen=True, tag="metadata"):
    """Ask for the core metadata of a wheel."""

    project: str
    file: ProjectFile


class AskSdist(msgspec.Struct, frozen=True, tag="sdist"):
    """Ask for the path of an sdist, brought here if need be."""

    project: str
    file: ProjectFile


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The last thing that a resolver says."""

    plans: tuple[Plan, ...]


class Answer(msgspec.Struct, frozen=True):
    """What became of one asking; `key` is what it asked for: a project, or the URL of a file."""

    kind: Kind
    key: str
    outcome: Outcome
    # A phrase of ours where it is not here.
    reason: str = ""
    page: ProjectPage | None = None
    # Of a page: file name → why it is not on it.
    refused: dict[str, str] = {}
    # Of a wheel.
    metadata: bytes = b""
    # Of an sdist; empty if it was not brought.
    path: str = ""


Ask = AskPage | AskMetadata | AskSdist
Said = AskPage | AskMetadata | AskSdist | Done

LENGTH_BYTES = 4
_encoder = msgspec.msgpack.Encoder()
decode_job = msgspec.msgpack.Decoder(Job).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode
_said: msgspec.msgpack.Decoder[Said] = msgspec.msgpack.Decoder(Said)
decode_said = _said.decode


def frame(message: Job | Answer | Said) -> bytes:
    """Return a message as it is sent."""
    body = _encoder.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body
