"""`[store.s3]`: what its settings take, and what they must be together. Looks at files only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pypicached.settings import credential_files
from pypicached.settings.problems import Problems
from pypicached.settings.values import BadValueError, name_type, parse_text, quote

# Wider than Amazon's own rule: other stores have older names, with capitals and underscores.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}")
# Amazon's "safe characters" of keys: nothing to encode, in no URL.
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()/-]{1,512}")
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}")
REDIRECTS = (301, 302, 307, 308)
DEFAULT_REDIRECT = 302


def parse_bucket(value: object, base: Path) -> str:
    """Accept the name of a bucket."""
    name = parse_text(value, base)
    if "/" in name:
        raise BadValueError(
            f"{quote(name)} is no bucket, or more than one", "give its name, and the rest as prefix"
        )
    if _BUCKET.fullmatch(name) is None:
        raise BadValueError(
            f"{quote(name)} is no name of a bucket: letters, digits, dots, hyphens; three at least"
        )
    return name


def parse_prefix(value: object, base: Path) -> str:
    """Accept what stands before every key; it ends in a slash unless it is empty."""
    if value == "":
        return ""
    text = parse_text(value, base).rstrip("/")
    parts = text.split("/")
    if _PREFIX.fullmatch(text) is None or not {"", ".", ".."}.isdisjoint(parts):
        raise BadValueError(
            f"{quote(text)} is no prefix of keys: letters, digits and !_.*'()-, single slashes",
            'say e.g. "pypicached/"',
        )
    return f"{text}/"


def parse_region(value: object, base: Path) -> str:
    """Accept the name of a region."""
    name = parse_text(value, base)
    if _REGION.fullmatch(name) is None:
        raise BadValueError(f"{quote(name)} is no region", 'say e.g. "eu-central-1"')
    return name


def parse_redirect_status(value: object, _base: Path) -> int:
    """Accept the status of a redirect (RFC 9110 §15.4) that keeps the method of a GET."""
    if isinstance(value, bool) or not isinstance(value, int):
        wrong = quote(value) if isinstance(value, str | float) else name_type(value)
        raise BadValueError(f"must be a number without quotes, not {wrong}")
    if value not in REDIRECTS:
        raise BadValueError(f"{quote(value)} is not {', '.join(map(str, REDIRECTS))}")
    return value


def check_store(
    store: Mapping[str, object],
    s3: Mapping[str, object],
    env: Mapping[str, str],
    problems: Problems,
) -> list[str]:
    """Note what settings that are good one by one are not together; return warnings."""
    named = any(key == "store.s3.bucket" for key, _, _ in problems.found)
    if store["kind"] == "s3" and s3["bucket"] is None and not named:
        problems.add(
            "store.s3.bucket",
            "is missing, and the store is a bucket",
            'name it, or say [store] kind = "local"',
        )
    secrets = [name for name in ("secret_access_key", "secret_access_key_file") if s3[name]]
    if len(secrets) == 2:
        problems.add(
            "store.s3.secret_access_key",
            "there is a secret_access_key_file too",
            "give one of the two",
        )
    if secrets and s3["access_key_id"] is None:
        problems.add("store.s3.access_key_id", f"is missing; there is a {secrets[0]}")
    if s3["access_key_id"] is not None and not secrets:
        problems.add("store.s3.secret_access_key_file", "is missing; there is an access_key_id")
    warnings = []
    if store["kind"] == "local" and s3["bucket"] is not None:
        warnings.append('store.s3.bucket is of no use without [store] kind = "s3"')
    if s3["serve"] != "redirect":
        given = [("public_url", s3["public_url"] is not None)]
        given.append(("redirect_status", s3["redirect_status"] != DEFAULT_REDIRECT))
        warnings += [
            f'store.s3.{name} is of no use without serve = "redirect"'
            for name, is_given in given
            if is_given
        ]
    endpoint, bucket = s3["endpoint_url"], s3["bucket"]
    if bucket is not None and str(endpoint).endswith(f"/{bucket}"):
        warnings.append("store.s3.endpoint_url ends in the bucket's name, which is added to it")
    path = s3["secret_access_key_file"]
    if isinstance(path, Path):
        problem, warning = credential_files.look_at(path, env)
        if problem is not None:
            problems.add("store.s3.secret_access_key_file", *problem)
        elif warning:
            warnings.append(f"store.s3.secret_access_key_file: {warning}")
    return warnings
