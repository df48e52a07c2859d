"""The vault: what must be kept and never told, sealed with a key that does not lie where the sealed things lie.

A key is a file of mode 0600 in a folder of the user's own (`~/.config/agavesh/keys` unless said otherwise), outside
the tenant's folder: a copy of that folder, a backup, opens nothing. Each key has an id, which is its file's name and
stands before everything that it sealed. So a restored file opens again what it sealed, whatever was sealed meanwhile,
and a missing one concerns nothing but what it sealed. It knows bytes, no credentials.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12  # bytes; never the same twice under one key: random ones do for 2**32 seals


class Closed(Exception):
    """It cannot be opened, or nothing can be sealed. The text names the key's file and is fit for the caller's eyes."""


def key_folder() -> Path:
    """Where keys lie unless said otherwise."""
    from platformdirs import user_config_path

    return user_config_path("agavesh") / "keys"


class Vault:
    """Seals and opens. `current` tells the id of the key to seal with ("" for none), `keep` notes a new one's."""

    def __init__(self, folder: Path, *, current: Callable[[], str], keep: Callable[[str], None]) -> None:
        self.folder = folder
        self._current, self._keep = current, keep
        self._ciphers: dict[str, AESGCM] = {}

    def seal(self, content: bytes, label: str) -> str:
        """A text that only `open` with the same label understands. Closed if there is no key to be had.

        The first one ever makes a key, and waits for the disk to have it.
        """
        cipher = self._cipher(self._sealing_key())
        nonce = secrets.token_bytes(_NONCE)
        sealed = urlsafe_b64encode(nonce + cipher.encrypt(nonce, content, label.encode()))
        return f"{self._current()}:{sealed.decode()}"

    def open(self, sealed: str, label: str) -> bytes:
        """What was sealed. Closed if its key is missing, or it is not what was sealed with this label."""
        key_id, _, rest = sealed.partition(":")
        raw = urlsafe_b64decode(rest)
        try:
            return self._cipher(key_id).decrypt(raw[:_NONCE], raw[_NONCE:], label.encode())
        except InvalidTag:
            raise Closed(f"it was changed, or {self._path(key_id)} is another key") from None

    def missing(self, sealed: str) -> Path | None:
        """The file of the key that a sealed text wants, if it is not there."""
        path = self._path(sealed.partition(":")[0])
        return None if path.exists() else path

    def _sealing_key(self) -> str:
        """The id of the current key, or of a fresh one where there is none, or its file is of no use."""
        if key_id := self._current():
            with contextlib.suppress(Closed):
                self._cipher(key_id)
                return key_id
        key_id = secrets.token_hex(8)
        self._make(self._path(key_id))
        self._keep(key_id)
        return key_id

    def _make(self, path: Path) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_hex(32).encode() + b"\n")
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
        path = self._path(key_id)
        if not path.exists():
            self._ciphers.pop(key_id, None)
        if (cipher := self._ciphers.get(key_id)) is None:
            cipher = self._ciphers[key_id] = AESGCM(_read(path))
        return cipher

    def _path(self, key_id: str) -> Path:
        return self.folder / f"{key_id}.key"


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
