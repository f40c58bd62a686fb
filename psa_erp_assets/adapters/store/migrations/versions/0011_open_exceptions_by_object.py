"""The open exceptions of an object are found by the index that keeps them apart."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Object before code."""
    _index(["tenant", "scope", "object_id", "code"])


def downgrade() -> None:
    """Code before object."""
    _index(["tenant", "scope", "code", "object_id"])


def _index(columns: list[str]) -> None:
    op.drop_index("ix_exception_item_open", table_name="exception_item", schema="ops")
    op.create_index(
        "ix_exception_item_open",
        "exception_item",
        columns,
        unique=True,
        schema="ops",
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
