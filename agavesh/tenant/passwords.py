"""How passwords are kept: as Argon2id hashes, in the usual text form that names its own parameters.

The figures are those that OWASP recommends (19 MiB, two passes, one lane): some tens of milliseconds and 19 MiB for
each look, on purpose. Call these functions in a thread, and few at a time. Hashes of before, by scrypt, are still read,
and `outdated` until their owner is next seen. It knows no users.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

MEMORY = 19 * 1024  # KiB
PASSES = 2
_KIND = f"$argon2id$v=19$m={MEMORY},t={PASSES},p=1$"

NOBODY = f"{_KIND}{'A' * 22}${'A' * 43}"
"""What fits no password: an unknown user's is compared with it, to take as long as a known one's."""


def hashed(password: str) -> str:
    """How a password is kept."""
    salt = secrets.token_bytes(16)
    return Argon2id(salt=salt, length=32, iterations=PASSES, lanes=1, memory_cost=MEMORY).derive_phc_encoded(
        password.encode("utf-8", "surrogatepass")
    )


def fits(password: str, kept: str) -> bool:
    """Whether a password is the one that is kept so; it takes as long if it is not."""
    given = password.encode("utf-8", "surrogatepass")
    if kept.startswith("$argon2id$"):
        try:
            Argon2id.verify_phc_encoded(given, kept)
        except InvalidKey:
            return False
        return True
    salt, _, wanted = kept.partition("$")
    found = hashlib.scrypt(given, salt=bytes.fromhex(salt), n=2**14, r=8, p=1)
    return hmac.compare_digest(found, bytes.fromhex(wanted))


def outdated(kept: str) -> bool:
    """Whether a hash is not as strong as one made now."""
    return not kept.startswith(_KIND)
