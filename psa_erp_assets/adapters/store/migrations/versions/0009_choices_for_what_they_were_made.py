"""A choice for a closed period holds for what it was made about."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A choice for a closed period holds for what it was made about."""
    op.add_column("period_choice", sa.Column("basis", sa.Text(), nullable=True), schema="ops")


def downgrade() -> None:
    """Choices hold whatever becomes of their object."""
    op.drop_column("period_choice", "basis", schema="ops")
