"""What roles may, by legal entity, and what a token's limits leave of it."""

from hypothesis import given
from hypothesis import strategies as st

from psa_erp_assets.domain.access import Actor, Grant, Limits, Permission, Role, carried

_ENTITIES = ("UK", "US", "DE")
_grants = st.frozensets(st.builds(Grant, st.sampled_from(Role), st.sampled_from([None, *_ENTITIES])))
_limits = st.none() | st.builds(
    Limits,
    permissions=st.frozensets(st.sampled_from(Permission)),
    entities=st.none() | st.frozensets(st.sampled_from(_ENTITIES)),
)
_permissions = st.sampled_from(Permission)


def actor(grants: frozenset[Grant], limits: Limits | None = None) -> Actor:
    return Actor(id="ada", name="Ada", grants=grants, limits=limits)


def test_every_role_may_look_and_none_may_everything() -> None:
    """Somebody with a role cannot open the first page, or one role is enough to ask for and to approve."""
    for role in Role:
        assert Permission.VIEW in carried(role)
        assert not {Permission.OPERATE, Permission.APPROVE} <= carried(role)


@given(_grants, _limits, _permissions, st.sampled_from(_ENTITIES))
def test_a_permission_comes_from_a_grant_and_within_the_limits(
    grants: frozenset[Grant], limits: Limits | None, permission: Permission, entity: str
) -> None:
    """A role for one entity holds for another, or a token for more than it was made for."""
    granted = any(permission in carried(g.role) and g.legal_entity in (None, entity) for g in grants)
    within = limits is None or (
        permission in limits.permissions and (limits.entities is None or entity in limits.entities)
    )
    assert actor(grants, limits).may(permission, entity) is (granted and within)


@given(_grants, _limits, _permissions)
def test_may_at_all_agrees_with_the_entities(
    grants: frozenset[Grant], limits: Limits | None, permission: Permission
) -> None:
    """A page opens to somebody whom each row on it is kept from, or is kept from somebody who may see rows."""
    someone = actor(grants, limits)
    mine = someone.entities(permission)
    assert someone.may(permission) is (mine is None or bool(mine))


@given(_grants, _limits, _permissions)
def test_limits_never_add(grants: frozenset[Grant], limits: Limits | None, permission: Permission) -> None:
    """A token may more than its owner."""
    owner, token = actor(grants).entities(permission), actor(grants, limits).entities(permission)
    assert owner is None or (token is not None and token <= owner)
