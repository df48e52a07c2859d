"""The vault: what must be kept and never told, sealed with a key that does not lie where the sealed things lie.

A key is a file of mode 0600 in a folder of the user's own (`~/.config/agavesh/keys` unless said otherwise), outside
the tenant's folder: a copy of that folder, a backup, opens nothing. Each key has an id, which is its file's name and
stands before everything that it sealed. So a restored file opens again what it sealed, whatever was sealed meanwhile,
and a missing one concerns nothing but what it sealed. Of each key a fingerprint is noted, from which no key can be had:
so a file with another key in it is known by itself, before anything is tried with it. It knows bytes, no credentials.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

_NONCE = 12  # bytes; never the same twice under one key: random ones do for 2**32 seals


class Closed(Exception):
    """It cannot be opened, or nothing can be sealed. The text names the key's file and is fit for the caller's eyes."""


def key_folder() -> Path:
    """Where keys lie unless said otherwise."""
    from platformdirs import user_config_path

    return user_config_path("agavesh") / "keys"


class Keys(Struct, frozen=True):
    """What is known of the keys without having them: the id of the one to seal with, and fingerprints by id."""

    id: str = ""
    prints: dict[str, str] = {}


class _Loaded(NamedTuple):
    """A key as it was read, and the file that it stood in: one that is replaced is read again."""

    file: tuple[int, int, int]
    cipher: AESGCM


class Vault:
    """Seals and opens. `known` tells what was last given to `keep`."""

    def __init__(self, folder: Path, *, known: Callable[[], Keys], keep: Callable[[Keys], None]) -> None:
        self.folder = folder
        self._known, self._keep = known, keep
        self._loaded: dict[str, _Loaded] = {}

    def seal(self, content: bytes, label: str) -> str:
        """A text that only `open` with the same label understands. Closed if there is no key to be had.

        The first one ever makes a key, and waits for the disk to have it.
        """
        cipher = self._cipher(key_id := self._sealing_key())
        nonce = secrets.token_bytes(_NONCE)
        sealed = urlsafe_b64encode(nonce + cipher.encrypt(nonce, content, label.encode()))
        return f"{key_id}:{sealed.decode()}"

    def open(self, sealed: str, label: str) -> bytes:
        """What was sealed. Closed if its key is missing, or it is not what was sealed with this label."""
        key_id, _, rest = sealed.partition(":")
        raw = urlsafe_b64decode(rest)
        try:
            return self._cipher(key_id).decrypt(raw[:_NONCE], raw[_NONCE:], label.encode())
        except InvalidTag:
            known = key_id in self._known().prints
            raise Closed(
                "it was changed" if known else f"it was changed, or {self._path(key_id)} is another key"
            ) from None

    def note(self, sealed: str, label: str) -> None:
        """Note the fingerprint of the key that opens this, as earlier versions did not. Closed as `open`."""
        self.open(sealed, label)
        key_id, known = sealed.partition(":")[0], self._known()
        if key_id not in known.prints:
            self._keep(Keys(known.id, known.prints | {key_id: fingerprint(_read(self._path(key_id)))}))

    def _sealing_key(self) -> str:
        """The id of the current key, or of a fresh one where there is none, or its file is of no use."""
        known = self._known()
        if key_id := known.id:
            with contextlib.suppress(Closed):
                self._cipher(key_id)
                return key_id
        key_id = secrets.token_hex(8)
        key = secrets.token_bytes(32)
        self._make(self._path(key_id), key)
        self._keep(Keys(key_id, known.prints | {key_id: fingerprint(key)}))
        return key_id

    def _make(self, path: Path, key: bytes) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(_written(key))
                file.flush()
                os.fsync(file.fileno())  # what it is going to seal would be lost with it
            folder = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as problem:
            raise Closed(f"no key can be kept in {self.folder}: {problem.strerror}") from None

    def _cipher(self, key_id: str) -> AESGCM:
        path, wanted = self._path(key_id), self._known().prints.get(key_id, "")
        try:
            found = path.stat()
        except FileNotFoundError:
            raise Closed(f"its key {path} is missing" + (f", of fingerprint {wanted}" if wanted else "")) from None
        except OSError as problem:
            raise Closed(f"its key {path} cannot be read: {problem.strerror}") from None
        file = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
        if (loaded := self._loaded.get(key_id)) is None or loaded.file != file:
            key = _read(path)
            if wanted and (own := fingerprint(key)) != wanted:
                raise Closed(f"{path} is another key: its fingerprint is {own}, and that of the right one {wanted}")
            loaded = self._loaded[key_id] = _Loaded(file, AESGCM(key))
        return loaded.cipher

    def _path(self, key_id: str) -> Path:
        return self.folder / f"{key_id}.key"


def fingerprint(key: bytes) -> str:
    """What tells a key from others and does not help to find it: `sha256sum` of its file begins so."""
    return hashlib.sha256(_written(key)).hexdigest()[:16]


def _written(key: bytes) -> bytes:
    return key.hex().encode() + b"\n"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(4096)
    except FileNotFoundError:
        raise Closed(f"its key {path} is missing") from None
    except OSError as problem:
        raise Closed(f"its key {path} cannot be read: {problem.strerror}") from None
    if mode & 0o077:
        raise Closed(f"its key {path} is open to other users: its mode should be 0600")
    try:
        key = bytes.fromhex(content.decode().strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise Closed(f"its key {path} is damaged")
    return key
