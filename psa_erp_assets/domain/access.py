"""Who may do what: roles by legal entity, and the permissions that they carry.

What belongs here: the rules. What does not: how somebody proves who they are (`services.sign_in`).
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Role(enum.StrEnum):
    """What somebody does here. Roles do not contain each other: a person may have several."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    STEWARD = "steward"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Permission(enum.StrEnum):
    """One kind of thing that a page or a call does."""

    VIEW = "view"
    """See figures, work, plans, postings, exceptions, mappings and connections."""
    SUBMIT = "submit"
    """Hand in work for billing, and ask for credits."""
    OPERATE = "operate"
    """Plan, apply, extract, and work on exceptions: assign, note, retry, ask for a replay."""
    APPROVE = "approve"
    """Approve or reject plans, replays and write-offs that somebody else has asked for."""
    STEWARD = "steward"
    """Decide about mappings and the ownership of fields."""
    AUDIT = "audit"
    """Read the audit log and its proofs."""
    ADMINISTER = "administer"
    """Accounts, roles, tokens, settings."""
    MONITOR = "monitor"
    """Read the metrics: figures about the sync itself, without any business content."""


_CARRIES: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.VIEW}),
    Role.OPERATOR: frozenset({Permission.VIEW, Permission.SUBMIT, Permission.OPERATE, Permission.MONITOR}),
    Role.APPROVER: frozenset({Permission.VIEW, Permission.APPROVE}),
    Role.STEWARD: frozenset({Permission.VIEW, Permission.STEWARD}),
    Role.AUDITOR: frozenset({Permission.VIEW, Permission.AUDIT}),
    Role.ADMIN: frozenset({Permission.VIEW, Permission.ADMINISTER, Permission.MONITOR}),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """A role that somebody has, for one legal entity or (None) for all of them."""

    role: Role
    legal_entity: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a token may at most, whatever its owner's roles are. `entities` None stands for all of the owner's."""

    permissions: frozenset[Permission]
    entities: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Somebody who does something: a person, a program with a token, or the command line of this machine.

    `id` is what audit entries name; `name` is for people. Two actors with one `id` are one pair of eyes: a token's
    `id` is that of its owner. `limits` are those of the token, and None for a person.
    """

    id: str
    name: str
    grants: frozenset[Grant]
    limits: Limits | None = None

    def may(self, permission: Permission, legal_entity: str | None = None) -> bool:
        """Whether a grant carries the permission for a legal entity; without one, for any entity at all."""
        mine = self.entities(permission)
        if mine is None:
            return True
        return bool(mine) if legal_entity is None else legal_entity in mine

    def entities(self, permission: Permission) -> frozenset[str] | None:
        """The legal entities that the permission is given for; None for all of them, and for those to come."""
        if self.limits is not None and permission not in self.limits.permissions:
            return frozenset()
        granted = [grant.legal_entity for grant in self.grants if permission in _CARRIES[grant.role]]
        mine = None if None in granted else frozenset(entity for entity in granted if entity is not None)
        within = None if self.limits is None else self.limits.entities
        if mine is None or within is None:
            return within if mine is None else mine
        return mine & within


def carried(role: Role) -> frozenset[Permission]:
    """The permissions that a role carries."""
    return _CARRIES[role]
