"""What becomes of texts that tell something about a person, so that nothing else has to change with them.

Names become a pseudonym, the same one everywhere, and what they wrote becomes one word. So what is decided from erased
facts is what was posted with the erased text, and an erasure never makes anybody correct the books. Ids, times and
amounts stay.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

ERASED = "erased"
# What tells something about a person in a payload, whatever vendor it is of.
_NAMES = frozenset(
    {
        "name", "full_name", "fullName", "displayName", "first_name", "firstName", "last_name", "lastName",
        "preferredName", "userName", "employee_name",
    }
)  # fmt: skip
_ADDRESSES = frozenset({"email", "workEmail", "work_email", "homeEmail", "userEmail"})
_TEXTS = frozenset({"description", "notes", "note", "comment"})
# Keys whose value is the id of whoever a body is about, and of the work that it is about.
_OWNERS = frozenset({"user_id", "userId", "psa_user_id", "psa_id", "object_id"})
# Keys that say more about the person whose id stands beside them.
_OF_OWNER = frozenset({"userName", "userEmail", "employee_name"})
# A shorter text of a person stands in too many others to be looked for in them.
_SHORTEST, _A_SENTENCE = 4, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody by everything that is known of them.

    `id` is the PSA's, `canonical_ids` and `hr_ids` are those of the employee; `names` and `addresses` are all spellings
    that were ever recorded, `objects` the ids of their work and of themselves as the exceptions have them, `texts` what
    they wrote about each piece of work.
    """

    id: str
    names: frozenset[str]
    addresses: frozenset[str]
    canonical_ids: frozenset[str] = frozenset()
    hr_ids: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()
    texts: Mapping[str, Collection[str]] = field(default_factory=dict)

    @property
    def pseudonym(self) -> str:
        """What stands for their name. It follows from the PSA's id, which stays, and so is the same at each erasure."""
        return f"{ERASED}-{hashlib.sha256(self.id.encode()).hexdigest()[:8]}"

    @property
    def address(self) -> str:
        """What stands for their e-mail address. The domain is one that never exists (RFC 2606)."""
        return f"{self.pseudonym}@erased.invalid"

    @property
    def spelled(self) -> frozenset[str]:
        """Names and addresses, as they are looked for in what others wrote."""
        return frozenset(text for text in self.names | self.addresses if len(text) >= _SHORTEST)

    @property
    def replacements(self) -> dict[str, str]:
        """What stands for each of their names and addresses, the longest first: a name may be a part of an address."""
        ordered = sorted(self.spelled, key=len, reverse=True)
        return {old: self.address if old in self.addresses else self.pseudonym for old in ordered}

    def is_only_theirs(self, text: str) -> bool:
        """Whether a text that they wrote is one that others would hardly write as well: a sentence, not a word."""
        return len(text) >= _A_SENTENCE and text != ERASED

    def cleaned(self, text: str) -> str:
        """A text of anybody with the pseudonym in the place of each name and address of theirs."""
        for old, new in self.replacements.items():
            text = re.sub(re.escape(old), new, text, flags=re.IGNORECASE)
        return text

    def shortened(self, text: str, object_id: str) -> str:
        """A text about one of their pieces of work, such as why it waits, without what they wrote about it.

        There a first or a last name alone is theirs too.
        """
        for old in self._wrote(object_id):
            if len(old) >= _SHORTEST:
                text = text.replace(old, ERASED)
        text = self.cleaned(text)
        for part in {part for name in self.names for part in name.split() if len(part) >= _SHORTEST}:
            text = re.sub(rf"\b{re.escape(part)}\b", self.pseudonym, text, flags=re.IGNORECASE)
        return text

    def described(self, text: str, object_id: str) -> str:
        """What stands for what they wrote about their work, as on a line of an invoice.

        What the sync has put before it, such as the category of an expense, stays. Nothing stays nothing.
        """
        for old in self._wrote(object_id):
            if text.endswith(f": {old}"):
                return text.removesuffix(old) + ERASED
        return text if not text or text.endswith((ERASED, ": ")) else ERASED

    def body(self, body: Any, *, work: str | None = None, themselves: bool = False) -> Any:
        """A JSON body without what tells something about them.

        `work` is the id of their work that the body is about ("" where it has none), None for a body of others;
        `themselves` is whether it is about the person, where a name is their name. Within a body of several people's,
        what names the person or their work is theirs.
        """
        if isinstance(body, str):
            return self.cleaned(body) if work is None else self.shortened(body, work)
        if isinstance(body, list):
            return [self.body(item, work=work, themselves=themselves) for item in body]
        if not isinstance(body, Mapping):
            return body
        named = {str(body[key]) for key in _OWNERS if isinstance(body.get(key), str | int)}
        about = next((name for name in named if name.partition("#")[0] in self.objects), None)
        if about is not None or (work is None and self.id in named):
            work = about or ""
        themselves = themselves or self.id in (str(body.get("id")), body.get("psa_id"))
        return {
            key: self._value(key, value, work=work, themselves=themselves or (self.id in named and key in _OF_OWNER))
            for key, value in body.items()
        }

    def _value(self, key: str, value: Any, *, work: str | None, themselves: bool) -> Any:
        if not isinstance(value, str) or value in ("", ERASED, self.pseudonym, self.address):
            return self.body(value, work=work, themselves=themselves)
        if themselves and key in _NAMES:
            return self.pseudonym
        if themselves and key in _ADDRESSES:
            return self.address
        if (work is not None or themselves) and key in _TEXTS:
            return self.described(value, work or "")
        return self.body(value, work=work)

    def _wrote(self, object_id: str) -> list[str]:
        """What they wrote about a piece of work, the longest first."""
        texts = self.texts.get(object_id.partition("#")[0], ())
        return sorted((text for text in texts if text not in ("", ERASED)), key=len, reverse=True)


def redacted(body: Any) -> Any:
    """A body of nobody in particular with a word in the place of each name, address and text in it."""
    if isinstance(body, Mapping):
        gone = _NAMES | _ADDRESSES | _TEXTS
        return {
            key: ERASED if key in gone and isinstance(value, str) and value else redacted(value)
            for key, value in body.items()
        }
    return [redacted(item) for item in body] if isinstance(body, list) else body
