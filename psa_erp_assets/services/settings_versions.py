"""Every change of the settings, kept when a process first works with it: which files, which keys, from what to what.

The files are edited outside of the program, so nobody's name is known but that of the machine account that runs it.
"""

import datetime as dt
import getpass
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from sqlalchemy import Connection, Engine, func, insert, select

from psa_erp_assets.adapters.store.schema_mappings import settings_version
from psa_erp_assets.domain.keys import content_hash
from psa_erp_assets.services import audit
from psa_erp_assets.settings import CONFIG_FILES, Settings

KIND = "settings.changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """One key of a file: what it was and what it is; None where it was not there."""

    file: str
    key: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChange:
    """A version of the settings, and how it differs from the one before it; the first differs from nothing."""

    id: int
    digest: str
    changes: Sequence[KeyChange]
    recorded_by: str
    recorded_at: dt.datetime


def note_settings(engine: Engine, settings: Settings, *, now: dt.datetime) -> Sequence[KeyChange] | None:
    """Keep the settings and an audit entry if they are others than before; answers with what has changed, else None."""
    files = dict(_read(settings))
    digest = content_hash(files)
    with engine.begin() as connection:
        name = f"settings:{settings.tenant}"
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
        last = _last(connection, settings.tenant)
        if last is not None and last.digest == digest:
            return None
        changes = [] if last is None else _differences(last.files, files)
        by = _who()
        told = [{"file": c.file, "key": c.key, "before": c.before, "after": c.after} for c in changes]
        connection.execute(
            insert(settings_version).values(
                tenant=settings.tenant,
                digest=digest,
                files=files,
                changes=told,
                recorded_by=by,
                recorded_at=now,
            )
        )
        audit.record(
            connection,
            settings.tenant,
            kind=KIND,
            subject=f"settings:{digest[:16]}",
            actor=by,
            detail={"digest": digest, "changes": told},
            now=now,
        )
    return changes


def settings_changes(connection: Connection, tenant: str, *, limit: int = 50) -> tuple[SettingsChange, ...]:
    """The versions of the settings, the latest first."""
    table = settings_version.c
    rows = connection.execute(
        select(table.id, table.digest, table.changes, table.recorded_by, table.recorded_at)
        .where(table.tenant == tenant)
        .order_by(table.id.desc())
        .limit(limit)
    )
    return tuple(
        SettingsChange(
            id=row.id,
            digest=row.digest,
            changes=tuple(KeyChange(**change) for change in row.changes),
            recorded_by=row.recorded_by,
            recorded_at=row.recorded_at,
        )
        for row in rows
    )


def _last(connection: Connection, tenant: str) -> Any:
    table = settings_version.c
    statement = select(table.digest, table.files).where(table.tenant == tenant).order_by(table.id.desc()).limit(1)
    return connection.execute(statement).one_or_none()


def _read(settings: Settings) -> Iterator[tuple[str, dict[str, str]]]:
    for name in CONFIG_FILES:
        path = settings.config_dir / f"{name}.yaml"
        if path.exists():
            body = yaml.safe_load(path.read_text(encoding="utf-8"))
            yield path.name, dict(_keys(body, ""))


def _keys(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Each value of a file by its path, such as approvals.0.name."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _keys(inner, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _keys(inner, f"{path}.{number}".lstrip("."))
    else:
        yield path or ".", str(value)


def _differences(before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]) -> list[KeyChange]:
    return [
        KeyChange(file=file, key=key, before=was.get(key), after=now.get(key))
        for file in sorted(before.keys() | after.keys())
        for was, now in [(before.get(file, {}), after.get(file, {}))]
        for key in sorted(was.keys() | now.keys())
        if was.get(key) != now.get(key)
    ]


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (ImportError, KeyError, OSError):
        return f"psa-erp@{socket.gethostname()}"
