"""Signed checkpoints outside of the database: the key, the signed note, and the folder that keeps one file for each.

A checkpoint is a C2SP tlog-checkpoint (https://c2sp.org/tlog-checkpoint) in a signed note (https://c2sp.org/signed-note)
with an Ed25519 signature: origin, size, root, two lines of our own, an empty line, and the signature.
"""

import base64
import binascii
import datetime as dt
import hashlib
import os
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from psa_erp_assets.domain.audit_check import Checkpoint, number_of

_ED25519 = b"\x01"
_DASH = "\N{EM DASH}"
_DELIVERED = "delivered"


class NoteError(Exception):
    """A file that is no checkpoint, or a key that is none; the message says which."""


class SigningKey:
    """The Ed25519 key that signs the checkpoints of one log."""

    def __init__(self, private: Ed25519PrivateKey, origin: str) -> None:
        self._private, self.origin = private, origin

    @property
    def public(self) -> str:
        """The public key as signed notes write it: name, hash and key."""
        key_id, raw = self._id()
        return f"{self.origin}+{key_id.hex()}+{base64.b64encode(_ED25519 + raw).decode()}"

    def sign(self, number: int, size: int, root: bytes, now: dt.datetime) -> Checkpoint:
        """The checkpoint of a log of this size and root."""
        instant = now.astimezone(dt.UTC).isoformat(timespec="seconds")
        text = f"{self.origin}\n{size}\n{base64.b64encode(root).decode()}\nnumber {number}\nsigned at {instant}\n"
        signature = base64.b64encode(self._id()[0] + self._private.sign(text.encode())).decode()
        note = f"{text}\n{_DASH} {self.origin} {signature}\n"
        return Checkpoint(number=number, size=size, root=root, note=note)

    def _id(self) -> tuple[bytes, bytes]:
        raw = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return _key_id(self.origin, raw), raw


def load_key(path: Path, origin: str) -> SigningKey:
    """The key in the file, which is made with a new one if it is not there and which only its owner can read.

    Raises NoteError for a file with something else in it.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        private = Ed25519PrivateKey.generate()
        raw = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        # Readable for nobody else from its first byte on, and complete or not there at all; of two processes that make
        # one at once, the first wins.
        _put(path, raw, mode=0o600)
    try:
        private_key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise NoteError(f"{path} is no key that can be read ({type(error).__name__})") from error
    if not isinstance(private_key, Ed25519PrivateKey):
        raise NoteError(f"{path} is no Ed25519 key")
    return SigningKey(private_key, origin)


def parse(note: str, public: str) -> Checkpoint:
    """The checkpoint that a note says, trusted if this public key has signed it. Raises NoteError for anything else."""
    text, _, signatures = note.partition("\n\n")
    lines = text.split("\n")
    try:
        origin, size, root = lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
        number = int(lines[3].removeprefix("number "))
    except (IndexError, ValueError, binascii.Error) as error:
        raise NoteError("it is no checkpoint") from error
    trusted = _signed(f"{text}\n", signatures, public, origin)
    return Checkpoint(number=number, size=size, root=root, note=note, trusted=trusted)


def write(folder: Path, checkpoint: Checkpoint) -> None:
    """Keep a checkpoint as a file of its own, complete or not at all. A file that is there already is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    _put(folder / f"{number_of(checkpoint)}.checkpoint", checkpoint.note.encode(), mode=0o644)


def read(folder: Path, public: str) -> list[Checkpoint]:
    """All checkpoints in the folder, by number. What cannot be read is a checkpoint that nobody trusts."""
    found = []
    for path in sorted(folder.glob("*.checkpoint")):
        try:
            checkpoint = parse(path.read_text(encoding="utf-8"), public)
        except (NoteError, OSError, UnicodeDecodeError):
            number = int(path.stem) if path.stem.isdecimal() else 0
            checkpoint = Checkpoint(number=number, size=0, root=b"", note="", trusted=False)
        found.append(checkpoint)
    return found


def latest(folder: Path, public: str) -> Checkpoint | None:
    """The checkpoint with the highest number in the folder. Raises NoteError where it is not signed by the key."""
    path = max(folder.glob("*.checkpoint"), default=None)
    if path is None:
        return None
    checkpoint = parse(path.read_text(encoding="utf-8"), public)
    if not checkpoint.trusted:
        raise NoteError(f"{path} is not signed by this key")
    return checkpoint


def is_delivered(folder: Path, checkpoint: Checkpoint, url: str) -> bool:
    """Whether the address has taken this checkpoint."""
    try:
        return (folder / _DELIVERED).read_text(encoding="utf-8") == _delivered(checkpoint, url)
    except (OSError, UnicodeDecodeError):
        return False


def note_delivered(folder: Path, checkpoint: Checkpoint, url: str) -> None:
    """Keep that the address has taken this checkpoint. Losing it costs that it is sent once more."""
    (folder / _DELIVERED).write_text(_delivered(checkpoint, url), encoding="utf-8")


def _delivered(checkpoint: Checkpoint, url: str) -> str:
    return f"{number_of(checkpoint)} {hashlib.sha256(url.encode()).hexdigest()}"


def _put(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file that is not there yet, in one step."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".new")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        try:
            # Unlike a rename, a link refuses to replace.
            path.hardlink_to(temporary)
        except FileExistsError:
            return
    finally:
        Path(temporary).unlink()


def _signed(text: str, signatures: str, public: str, origin: str) -> bool:
    name, _, rest = public.partition("+")
    raw = base64.b64decode(rest.partition("+")[2])[1:]
    if name != origin:
        return False
    for line in signatures.splitlines():
        start = f"{_DASH} {name} "
        if not line.startswith(start):
            continue
        try:
            signature = base64.b64decode(line.removeprefix(start), validate=True)
            if signature[:4] == _key_id(name, raw):
                Ed25519PublicKey.from_public_bytes(raw).verify(signature[4:], text.encode())
                return True
        except (binascii.Error, InvalidSignature, ValueError):
            continue
    return False


def _key_id(name: str, raw: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + raw).digest()[:4]
