"""What of the mappings somebody may see and decide about whose role is for some legal entities alone."""

from collections.abc import Collection, Set

from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.store import mapping_stories
from psa_erp_assets.console.access import foreign_entity
from psa_erp_assets.console.reading import snapshot
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.domain.links import CANONICAL
from psa_erp_assets.services import mapping_decisions, mapping_proposals
from psa_erp_assets.services.mapping_decisions import Wish
from psa_erp_assets.services.mapping_proposals import MappingNotFoundError
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.services.seen_records import SeenRecords, seen_records


def seen_by(
    connection: Connection, scope: Scope, actor: Actor, permission: Permission = Permission.VIEW
) -> SeenRecords:
    """The records that an actor has the permission for."""
    return seen_records(connection, scope.tenant, actor.entities(permission))


def refuse_proposal(engine: Engine, scope: Scope, actor: Actor, permission: Permission, proposal_id: int) -> None:
    """Raise DeniedError where a proposal is about a record of another legal entity; one that is none passes."""
    if actor.entities(permission) is None:
        return
    with snapshot(engine) as connection:
        try:
            found = mapping_proposals.get(connection, scope.tenant, proposal_id)
        except MappingNotFoundError:
            return
        _refuse(seen_by(connection, scope, actor, permission), found.object_type, {found.canonical_id}, permission)


def refuse_decision(engine: Engine, scope: Scope, actor: Actor, decision_id: int) -> None:
    """Raise DeniedError where a decision is about records of another legal entity; one that is none passes."""
    if actor.entities(Permission.STEWARD) is None:
        return
    with snapshot(engine) as connection:
        found = [d for d in mapping_decisions.past_decisions(connection, scope.tenant) if d.id == decision_id]
        seen = seen_by(connection, scope, actor, Permission.STEWARD)
        for one in found:
            _refuse(seen, one.object_type, _about(connection, scope, one.object_type, one.system, one.source_ids))
            _refuse(seen, one.object_type, {one.canonical_id})


def refuse_wish(engine: Engine, scope: Scope, actor: Actor, wish: Wish) -> None:
    """Raise DeniedError where a wish takes from, or gives to, a record of another legal entity."""
    if actor.entities(Permission.STEWARD) is None:
        return
    with snapshot(engine) as connection:
        seen = seen_by(connection, scope, actor, Permission.STEWARD)
        about = _about(connection, scope, wish.object_type, wish.system, wish.source_ids)
        _refuse(seen, wish.object_type, {*about, wish.canonical_id})


def refuse_target(engine: Engine, scope: Scope, actor: Actor, object_type: str, canonical_id: str) -> None:
    """Raise DeniedError where a record that a mapping is proposed to is of another legal entity."""
    if actor.entities(Permission.STEWARD) is not None:
        with snapshot(engine) as connection:
            _refuse(seen_by(connection, scope, actor, Permission.STEWARD), object_type, {canonical_id})


def _about(
    connection: Connection, scope: Scope, object_type: str, system: str, source_ids: Collection[str]
) -> set[str]:
    """The canonical ids that source ids stand for; those of a merge are canonical themselves."""
    if system == CANONICAL:
        return set(source_ids)
    return mapping_stories.canonical_ids_of(connection, scope.tenant, object_type, system, source_ids)


def _refuse(
    seen: SeenRecords,
    object_type: str,
    canonical_ids: Set[str | None],
    permission: Permission = Permission.STEWARD,
) -> None:
    if not all(seen.has(object_type, canonical_id) for canonical_id in canonical_ids):
        raise foreign_entity(permission)
