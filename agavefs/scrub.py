"""Scrub: a text without the secrets in it, and without the names of files where that is asked for. Pure.

Secrets that are known go wherever they stand, also as they look in a URL, in JSON, in Python and in a Basic header;
beside them all that looks like one: what follows `token=` and its like, headers of authorization, the user's part of a
URL, keys. Without names, only words that the program itself says, numbers and the names of its own things stay: what
stands between them is replaced by a hash, the same for the same word in one bundle and different in the next.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import itertools
import json
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, quote_plus

_GONE = "[taken out]"
_LEAST = 5  # letters: a shorter secret would take out half of the text, and is found by where it stands

_SECRET_NAME = (
    r"[\w.-]*(?:token|secret|passw(?:or)?d|passphrase|api_?key|private_?key|credential|nonce|consumerkey)[\w.-]*"
)
_VALUE = r"\"[^\"\n]*\"|'[^'\n]*'|[^\s,;&}\]\"']+"
# the order matters: what is longest comes first
_PATTERNS = [
    (re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL), _GONE),
    (re.compile(r"(?i)((?:proxy-)?authorization\\?[\"']?\s*[:=,]\s*)[^\n]*"), rf"\1{_GONE}"),
    (re.compile(r"(?i)((?:set-)?cookie\\?[\"']?\s*[:=]\s*)[^\n]*"), rf"\1{_GONE}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {_GONE}"),
    (re.compile(r"(?i)([a-z][a-z0-9+.-]*://)[^/?#\s@\"'<>]*@"), rf"\1{_GONE}@"),
    (re.compile(rf"(?i)(\b{_SECRET_NAME}\\?[\"']?\s*[:=]\s*b?\\?)(?:{_VALUE})"), rf"\1{_GONE}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), _GONE),
    (re.compile(r"(/postits/v2/)[A-Za-z0-9_-]{6,}"), rf"\1{_GONE}"),
]
_SECRET = re.compile(rf"(?i){_SECRET_NAME}|.*(?:_|\b)(?:key|auth|pass|pw)\d*")


def is_secret(name: str) -> bool:
    """Whether what has this name, a variable or a field, is not to be told."""
    return _SECRET.fullmatch(name) is not None


def in_json(value: object, *, name: str = "") -> Iterable[str]:
    """The secrets in a JSON value, by their names."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from in_json(inner, name=str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from in_json(inner, name=name)
    elif isinstance(value, str) and is_secret(name):
        yield value


class Scrub:
    """Takes out `known` secrets, those of `users` in a Basic header, too, and what looks like one; and with `names`
    also names of files."""

    def __init__(self, known: Iterable[str], users: Iterable[str] = (), *, names: bool = False) -> None:
        plain = sorted({secret for secret in known if len(secret) >= _LEAST})
        forms = {form for secret in plain for form in _forms(secret)}
        pairs = [f"{user}:{secret}" for user in set(users) for secret in plain]
        pairs += [f"{one}:{other}" for one, other in itertools.permutations(plain[:20], 2)]  # a client's key and secret
        forms |= {_base64(pair) for pair in pairs}
        self._known = sorted(forms, key=len, reverse=True)
        self._salt = secrets.token_bytes(16) if names else b""
        self._words = _vocabulary() if names else frozenset()

    def __call__(self, text: str) -> str:
        for form in self._known:
            text = text.replace(form, _GONE)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return _WORD.sub(self._word, text) if self._salt else text

    def _word(self, found: re.Match[str]) -> str:
        word = found[0]
        if word in self._words or word.lower() in self._words or _OURS.fullmatch(word):
            return word
        return "#" + hashlib.blake2b(_bytes(word), key=self._salt, digest_size=4).hexdigest()


_WORD = re.compile(r"[^\s/:=,;()\[\]{}<>\"'`|@?&]+")
# numbers, sizes, times, and what is random: spools, mounts, requests, jobs
_OURS = re.compile(r"[\W_]*(?:[\d.+-]+(?:[TZ][\d.+-]*)?|0x[0-9a-f]+|[0-9a-f]{8,}(?:-[0-9a-f]+)*(?:-\d{3})?|\W+)[\W_]*")


def _forms(secret: str) -> Iterable[str]:
    """A secret as it may stand in a text."""
    yield secret
    yield _bytes(secret).decode(errors="replace")  # as a log is read
    yield quote(_bytes(secret), safe="")
    yield quote_plus(_bytes(secret))
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield _base64(secret)


def _base64(text: str) -> str:
    return base64.b64encode(_bytes(text)).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    """A text as it was, if it was bytes that are no UTF-8; else as JSON can have it."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")


def _vocabulary() -> frozenset[str]:
    """The words of our own source, of errors, and of what a report is made of."""
    import agavefs
    import agavesh

    words = {word for number in errno.errorcode for word in (errno.errorcode[number], *os.strerror(number).split())}
    for package in (agavefs, agavesh):
        for file in Path(package.__path__[0]).rglob("*.py"):
            words.add(file.name)
            words.update(re.findall(r"[A-Za-z_][A-Za-z0-9_-]*", file.read_text()))
    words.update(("ext2", "ext3", "ext4", "xfs", "btrfs", "overlay", "tmpfs", "nfs", "nfs4", "proc", "fuse.agavefs"))
    return frozenset(words)
