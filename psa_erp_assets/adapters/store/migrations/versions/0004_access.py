"""Accounts with roles, who is signed in, tokens, one-time links, and attempts to sign in."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _at(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _of_account(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant", "login"], ["ops.account.tenant", "ops.account.login"], name=op.f(f"fk_{table}_tenant_login")
    )


def upgrade() -> None:
    """Make the tables of access."""
    op.create_table(
        "account",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("issuer", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        _at("created_at"),
        _at("disabled_at", nullable=True),
        _at("last_signed_in_at", nullable=True),
        sa.CheckConstraint("(issuer IS NULL) = (subject IS NULL)", name=op.f("ck_account_subject")),
        sa.PrimaryKeyConstraint("tenant", "login", name=op.f("pk_account")),
        sa.UniqueConstraint("tenant", "issuer", "subject", name=op.f("uq_account_tenant_issuer_subject")),
        schema="ops",
    )
    op.create_table(
        "account_grant",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("from_provider", sa.Boolean(), nullable=False),
        sa.Column("granted_by", sa.Text(), nullable=False),
        _at("granted_at"),
        _of_account("account_grant"),
        sa.PrimaryKeyConstraint(
            "tenant", "login", "role", "legal_entity", "from_provider", name=op.f("pk_account_grant")
        ),
        schema="ops",
    )
    op.create_table(
        "signed_in",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("browser", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        _at("created_at"),
        _at("last_seen_at"),
        _at("expires_at"),
        _at("ended_at", nullable=True),
        _of_account("signed_in"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signed_in")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_signed_in_secret_hash")),
        schema="ops",
    )
    op.create_index(
        "ix_signed_in_login",
        "signed_in",
        ["tenant", "login"],
        unique=False,
        schema="ops",
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "api_token",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("permissions", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("legal_entities", postgresql.ARRAY(sa.Text()), nullable=True),
        _at("created_at"),
        _at("expires_at"),
        _at("last_used_at", nullable=True),
        _at("revoked_at", nullable=True),
        _of_account("api_token"),
        sa.PrimaryKeyConstraint("tenant", "prefix", name=op.f("pk_api_token")),
        schema="ops",
    )
    op.create_index("ix_api_token_login", "api_token", ["tenant", "login"], unique=False, schema="ops")
    op.create_table(
        "one_time_link",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        _at("created_at"),
        _at("expires_at"),
        _at("used_at", nullable=True),
        _of_account("one_time_link"),
        sa.PrimaryKeyConstraint("tenant", "secret_hash", name=op.f("pk_one_time_link")),
        schema="ops",
    )
    op.create_table(
        "sign_in_attempt",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("login_hash", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        _at("at"),
        sa.Column("succeeded", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_attempt")),
        schema="ops",
    )
    for part in ("login_hash", "address"):
        name = f"ix_sign_in_attempt_{part.removesuffix('_hash')}"
        op.create_index(name, "sign_in_attempt", ["tenant", part, "at"], unique=False, schema="ops")


def downgrade() -> None:
    """Drop the tables of access."""
    for table in ("sign_in_attempt", "one_time_link", "api_token", "signed_in", "account_grant", "account"):
        op.drop_table(table, schema="ops")
