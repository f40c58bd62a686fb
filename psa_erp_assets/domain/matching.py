"""Which records of two systems are probably one: exact and fuzzy matches with their score and the evidence for it.

What belongs here: how names are compared, and what a match is worth. What does not: deciding about one, which is a
steward's (`services.mapping_decisions`); a match by itself never maps anything.
"""

import enum
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

LEAST = Decimal("0.7200")
"""The score below which nothing is proposed: half of the letters agree by chance in short names."""

_WHOLE, _DIGITS = Decimal("1.0000"), Decimal("0.0001")
_SAME_NAME, _SAME_LOCAL_PART, _SAME_CODE = Decimal("0.9700"), Decimal("0.9300"), Decimal("0.9900")
_OTHER_COUNTRY = Decimal("0.1500")
_FORMS = frozenset(
    {"ab", "ag", "as", "asa", "bv", "co", "company", "corp", "corporation", "cv", "gmbh", "gbr", "group", "holding"}
    | {"holdings", "inc", "incorporated", "kft", "kg", "kgaa", "limited", "llc", "llp", "lp", "ltd", "ltda", "mbh"}
    | {"nv", "ohg", "oy", "oyj", "plc", "pte", "pty", "sa", "sarl", "sas", "se", "spa", "sprl", "srl", "ug"}
)
# Each name is compared with many others.
_NAMES = 65_536
_NO_WORD = re.compile(r"[^\w\s]|_")
_JOINED = re.compile(r"\b(?:[a-z]\.){2,}")
_LOCAL_TAG = re.compile(r"\+.*$")

Similar = Callable[[str, str], Decimal]
"""How alike two normalized names are, from 0 to 1."""


class Method(enum.StrEnum):
    """How a match was found, or who says so."""

    EXACT = "exact"
    FUZZY = "fuzzy"
    BY_HAND = "by_hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One record as far as it can be told apart by: its name and, where it has them, code, e-mail and country."""

    id: str
    name: str
    code: str | None = None
    email: str | None = None
    countries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A record that another one may be. `score` is from 0 to 1; `evidence` are sentences for whoever decides."""

    id: str
    method: Method
    score: Decimal
    evidence: tuple[str, ...]


@lru_cache(maxsize=_NAMES)
def plain_name(name: str) -> str:
    """A name in lower case without accents, punctuation and doubled spaces."""
    letters = unicodedata.normalize("NFKD", name.casefold().replace("ß", "ss"))
    bare = "".join(c for c in letters if not unicodedata.combining(c))
    bare = _JOINED.sub(lambda joined: joined[0].replace(".", ""), bare)
    return " ".join(_NO_WORD.sub(" ", bare.replace("&", " and ")).split())


@lru_cache(maxsize=_NAMES)
def organization_name(name: str) -> str:
    """A company's name without its legal form: "Kestrel Energy, Ltd." and "KESTREL ENERGY plc" are alike.

    A name of nothing but such words stays as it is.
    """
    words = plain_name(name).split()
    kept = list(words)
    while kept and kept[-1] in _FORMS:
        kept.pop()
    return " ".join(kept or words)


@lru_cache(maxsize=_NAMES)
def person_name(name: str) -> str:
    """A person's name with its parts in alphabetical order, since systems write the last name first or last."""
    return " ".join(sorted(plain_name(name).split()))


def local_part(email: str | None) -> str | None:
    """What stands before the @ of an address, without dots and tags, which many mail systems ignore."""
    if not email or "@" not in email:
        return None
    return _LOCAL_TAG.sub("", email.rpartition("@")[0].strip().lower()).replace(".", "") or None


def find_matches(
    subject: Named,
    candidates: Iterable[Named],
    *,
    similar: Similar,
    normal: Callable[[str], str],
    most: int = 3,
    least: Decimal = LEAST,
) -> list[Match]:
    """The candidates that the subject may be, the likeliest first, and at most so many.

    The score of a candidate is that of its strongest evidence: the same code 0.99, the same name 0.97, the same local
    part of the e-mail 0.93, otherwise how alike the names are. Two kinds of evidence together are a score of 1. An
    address in another country takes 0.15 away. It is exact where a code or a whole name agrees and nothing speaks
    against it, and fuzzy otherwise. These weights are ours; they order a list for a person and decide nothing.
    """
    name = normal(subject.name)
    found = [match for other in candidates if (match := _match(subject, name, other, similar, normal)).score >= least]
    return sorted(found, key=lambda m: (-m.score, m.id))[:most]


def _match(subject: Named, name: str, other: Named, similar: Similar, normal: Callable[[str], str]) -> Match:
    evidence: list[str] = []
    scores: list[Decimal] = []
    exact = False
    if subject.code and other.code and subject.code.casefold() == other.code.casefold():
        scores.append(_SAME_CODE)
        evidence.append(f"the same code {other.code}")
        exact = True
    other_name = normal(other.name)
    if name and name == other_name:
        scores.append(_SAME_NAME)
        evidence.append(f"the same name: {subject.name!r} and {other.name!r}")
        exact = True
    local = local_part(subject.email)
    if local is not None and local == local_part(other.email):
        scores.append(_SAME_LOCAL_PART)
        evidence.append(f"the same e-mail name before the @: {local!r}")
    score = _WHOLE if len(scores) > 1 else max(scores, default=Decimal(0))
    if name and other_name and name != other_name:
        alike = similar(name, other_name).quantize(_DIGITS)
        evidence.append(f"the names are {alike * 100:.0f} % alike: {subject.name!r} and {other.name!r}")
        score = max(score, alike)
    if subject.countries and other.countries:
        if set(subject.countries) & set(other.countries):
            evidence.append(f"the same country: {', '.join(sorted(set(subject.countries) & set(other.countries)))}")
        else:
            score -= _OTHER_COUNTRY
            exact = False
            evidence.append(f"another country: {', '.join(subject.countries)} and {', '.join(other.countries)}")
    method = Method.EXACT if exact else Method.FUZZY
    return Match(id=other.id, method=method, score=max(score, Decimal(0)).quantize(_DIGITS), evidence=tuple(evidence))
