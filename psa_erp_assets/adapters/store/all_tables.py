"""The metadata of the operational store with the tables of every schema module, which migrations compare."""

from psa_erp_assets.adapters.store import (
    schema,
    schema_access,
    schema_audit,
    schema_connections,
    schema_exceptions,
    schema_mappings,
    schema_notifications,
    schema_payments,
    schema_reporting,
)

SCHEMA = schema.SCHEMA
DECLARED_IN = (
    schema,
    schema_access,
    schema_audit,
    schema_connections,
    schema_exceptions,
    schema_mappings,
    schema_notifications,
    schema_payments,
    schema_reporting,
)
"""The modules that declare tables; each adds its own to the one metadata when it is imported."""

metadata = schema.metadata
