"""Tables of access: accounts and their roles, who is signed in, tokens, one-time links, attempts to sign in.

No secret is in them: a password is kept as its argon2 hash, and of whatever else lets somebody in (a signed-in browser,
a token, a link) only the SHA-256 hash, because those are random and long enough that none can be guessed.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from psa_erp_assets.adapters.store.schema import SCHEMA, metadata

ALL_ENTITIES = "*"
"""In a grant: every legal entity, those to come too. No entity's code can be this."""


def _at(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _of_account() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant", "login"], [f"{SCHEMA}.account.tenant", f"{SCHEMA}.account.login"])


# Somebody who may sign in. Never deleted, so that the name in an audit entry stays the name of one person. The issuer
# and the subject are those of an OpenID provider; an account has those, or a password, or (before its link) neither.
account = Table(
    "account",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("login", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("password_hash", Text),
    Column("issuer", Text),
    Column("subject", Text),
    _at("created_at"),
    _at("disabled_at", nullable=True),
    _at("last_signed_in_at", nullable=True),
    CheckConstraint("(issuer IS NULL) = (subject IS NULL)", name="subject"),
    UniqueConstraint("tenant", "issuer", "subject"),
)

# A role of an account. Those from the provider's groups are replaced at each sign-in.
account_grant = Table(
    "account_grant",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("login", Text, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("legal_entity", Text, primary_key=True),
    Column("from_provider", Boolean, primary_key=True),
    Column("granted_by", Text, nullable=False),
    _at("granted_at"),
    _of_account(),
)

# A browser that somebody has signed in with.
signed_in = Table(
    "signed_in",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("login", Text, nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("how", Text, nullable=False),
    Column("browser", Text, nullable=False),
    Column("address", Text, nullable=False),
    _at("created_at"),
    _at("last_seen_at"),
    _at("expires_at"),
    _at("ended_at", nullable=True),
    UniqueConstraint("secret_hash"),
    _of_account(),
    Index("ix_signed_in_login", "tenant", "login", postgresql_where=text("ended_at IS NULL")),
)

# A program's key. `prefix` is its beginning, by which it is found and named; entities NULL are all of the owner's.
api_token = Table(
    "api_token",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("prefix", Text, primary_key=True),
    Column("login", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("permissions", ARRAY(Text), nullable=False),
    Column("legal_entities", ARRAY(Text)),
    _at("created_at"),
    _at("expires_at"),
    _at("last_used_at", nullable=True),
    _at("revoked_at", nullable=True),
    _of_account(),
    Index("ix_api_token_login", "tenant", "login"),
)

# A link that lets one person in once: to set the password of an account, or (login NULL) to make the first one.
one_time_link = Table(
    "one_time_link",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("secret_hash", Text, primary_key=True),
    Column("login", Text),
    Column("created_by", Text, nullable=False),
    _at("created_at"),
    _at("expires_at"),
    _at("used_at", nullable=True),
    _of_account(),
)

# An attempt to sign in with a password, for the limits. What was typed as the name is hashed: it may be a password.
sign_in_attempt = Table(
    "sign_in_attempt",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("login_hash", Text, nullable=False),
    Column("address", Text, nullable=False),
    _at("at"),
    Column("succeeded", Boolean, nullable=False),
    Index("ix_sign_in_attempt_login", "tenant", "login_hash", "at"),
    Index("ix_sign_in_attempt_address", "tenant", "address", "at"),
)
