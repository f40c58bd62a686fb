"""Passwords and other secrets that let somebody in: how they are made, kept and compared.

A password is kept as its argon2id hash with the library's own parameters, which follow RFC 9106. A secret made here is
random, 256 bits, and kept as its SHA-256 hash: nobody can guess it, so a slow hash would protect nothing more.
"""

import hashlib
import hmac
import secrets
import threading
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# Each verification takes 64 MiB for some tens of milliseconds; many at once would take the memory of the machine.
_AT_ONCE = threading.BoundedSemaphore(4)
_HASHER = PasswordHasher()


def hash_password(password: str) -> str:
    """The hash to keep of a password."""
    with _AT_ONCE:
        return _HASHER.hash(_normal(password))


def verify_password(kept: str | None, password: str) -> bool:
    """Whether a password is the one whose hash is kept; takes as long where there is none to compare with."""
    with _AT_ONCE:
        try:
            _HASHER.verify(kept or _nobodys(), _normal(password))
        except (VerificationError, InvalidHashError):
            return False
    return kept is not None


def is_outdated(kept: str) -> bool:
    """Whether a hash was made with weaker parameters than those of today."""
    return _HASHER.check_needs_rehash(kept)


def new_secret() -> str:
    """A random secret of 43 characters that can stand in a URL."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """What is kept of a secret that was made here, in hex."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def derived(secret: str, purpose: str) -> str:
    """Another secret that belongs to this one and does not tell it, in hex."""
    return hmac.new(secret.encode("utf-8", "replace"), purpose.encode(), hashlib.sha256).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


@cache
def _nobodys() -> str:
    return _HASHER.hash(secrets.token_urlsafe(32))


def _normal(password: str) -> bytes:
    # Keyboards spell one letter in several ways. (NIST SP 800-63B, 5.1.1.2, asks for NFKC or NFKD.)
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace")
