"""What an entry of the audit log says, and how personal data is in it without being in it.

The hash of a leaf covers canonical JSON in which each personal value is replaced by a salted commitment. When the value
and its salt are erased, the commitment stays and so does every proof, and nobody can find the value by trying.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any

from psa_erp_assets.domain.merkle import leaf_hash

VERSION = 1
SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Personal:
    """A value in an entry's detail that tells something about a person, who can ask for it to be erased."""

    value: str
    person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A personal value beside its entry: where it was, its salt, and what it says."""

    name: str
    salt: bytes
    value: str
    person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """An entry at its place in the log. `seq` counts from 1 without a gap; `at` is in UTC, in ISO format.

    `source` and `ref` name the row that it speaks of, `content` is the hash of that row as `digest` has it.
    """

    tenant: str
    seq: int
    source: str
    ref: str
    kind: str
    subject: str
    actor: str
    at: str
    content: str

    def body(self) -> dict[str, Any]:
        """The body that is hashed."""
        return {
            "v": VERSION,
            "tenant": self.tenant,
            "seq": self.seq,
            "source": self.source,
            "ref": self.ref,
            "kind": self.kind,
            "subject": self.subject,
            "actor": self.actor,
            "at": self.at,
            "content": self.content,
        }

    def hash(self) -> bytes:
        """The hash of the leaf in the tree: that of its body as canonical JSON, which is spelled out here.

        A month has a million leaves, and this takes a third of the time that encoding a dictionary does.
        """
        quoted = encode_basestring
        text = (
            f'{{"actor":{quoted(self.actor)},"at":{quoted(self.at)},"content":{quoted(self.content)},'
            f'"kind":{quoted(self.kind)},"ref":{quoted(self.ref)},"seq":{self.seq},"source":{quoted(self.source)},'
            f'"subject":{quoted(self.subject)},"tenant":{quoted(self.tenant)},"v":{VERSION}}}'
        )
        return leaf_hash(text.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """What a row says that the log speaks of. `personal` is the hash of its personal part, None where it has none."""

    source: str
    ref: str
    kind: str
    subject: str
    actor: str
    at: str
    said: Mapping[str, Any]
    personal: str | None

    def document(self, committed: str | None) -> dict[str, Any]:
        """What the content of its leaf is the hash of, with the commitment in the place of the personal part."""
        return dict(self.said) if committed is None else {**self.said, "commitment": committed}

    def leaf(self, tenant: str, seq: int, committed: str | None) -> Leaf:
        """Its leaf at a place in the log."""
        return Leaf(
            tenant=tenant,
            seq=seq,
            source=self.source,
            ref=self.ref,
            kind=self.kind,
            subject=self.subject,
            actor=self.actor,
            at=self.at,
            content=digest(self.document(committed)),
        )


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def canonical(body: Any) -> str:
    """The spelling of `keys.canonical_json`, without its look for floats: rows hold what they hold."""
    return _encode(body)


def digest(body: Any) -> str:
    """SHA-256 of the canonical JSON, as hex."""
    return hashlib.sha256(_encode(body).encode()).hexdigest()


def commitment(salt: bytes, value: str) -> str:
    """What stands for a personal value: SHA-256 over salt and value, as hex. The salt has a fixed length."""
    return hashlib.sha256(salt + value.encode()).hexdigest()


def seal(detail: Mapping[str, Any], new_salt: Callable[[], bytes]) -> tuple[dict[str, Any], list[Sealed]]:
    """The detail with a commitment in the place of each personal value, and those values with their salts."""
    sealed: list[Sealed] = []

    def plain(value: Any, name: str) -> Any:
        if isinstance(value, Personal):
            salt = new_salt()
            sealed.append(Sealed(name=name, salt=salt, value=value.value, person=value.person))
            return {"commitment": commitment(salt, value.value)}
        if isinstance(value, Mapping):
            return {str(key): plain(item, f"{name}/{key}") for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item, f"{name}/{number}") for number, item in enumerate(value)]
        return value

    return {str(key): plain(value, str(key)) for key, value in detail.items()}, sealed


def commitment_at(detail: Any, name: str) -> str | None:
    """The commitment that stands at the name that `seal` gave a value."""
    for part in name.split("/"):
        if isinstance(detail, list):
            detail = detail[int(part)] if part.isdecimal() and int(part) < len(detail) else None
        else:
            detail = detail.get(part) if isinstance(detail, Mapping) else None
    found = detail.get("commitment") if isinstance(detail, Mapping) else None
    return found if isinstance(found, str) else None
