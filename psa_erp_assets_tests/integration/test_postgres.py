"""The embedded PostgreSQL: its life, its recovery, and the address as each client library takes it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import psycopg2
import pytest
import sqlalchemy

from psa_erp_assets.adapters import postgres
from psa_erp_assets.adapters.postgres import PostgresError, ServerInfo


@pytest.fixture
def folder() -> Iterator[Path]:
    """A cluster folder of its own, whose server is stopped afterwards."""
    with tempfile.TemporaryDirectory(prefix="psa-erp-test-", ignore_cleanup_errors=True) as parent:
        yield Path(parent) / "postgres"
        postgres.stop(Path(parent) / "postgres")


def answer(server: ServerInfo) -> object:
    with postgres.connect(server, "postgres") as connection:
        row = connection.execute("SELECT 42").fetchone()
    return row and row[0]


def postmaster(folder: Path) -> int:
    return int((folder / "cluster" / "postmaster.pid").read_text().splitlines()[0])


def in_another_process(code: str, *arguments: str) -> subprocess.Popen[str]:
    preamble = "import sys\nfrom pathlib import Path\nfrom psa_erp_assets.adapters import postgres\n"
    return subprocess.Popen(
        [sys.executable, "-c", preamble + textwrap.dedent(code), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_start_adopt_stop(folder: Path) -> None:
    """A second start would make a second server, or stopping would leave one behind."""
    first = postgres.ensure_running(folder)
    pid = postmaster(folder)
    assert postgres.ensure_running(folder) == first
    assert (postmaster(folder), answer(first)) == (pid, 42)
    assert postgres.stop(folder) is True
    with pytest.raises(PostgresError):
        answer(first)
    assert postgres.stop(folder) is False


def test_it_outlives_the_process_that_started_it(folder: Path) -> None:
    """A server that dies with its starter would take the console and Dagster down with a finished command."""
    starter = in_another_process("postgres.ensure_running(Path(sys.argv[1]))", str(folder))
    starter.communicate(timeout=60)
    assert starter.returncode == 0
    pid = postmaster(folder)
    assert answer(postgres.ensure_running(folder)) == 42
    assert postmaster(folder) == pid


def test_kill_9_of_the_postmaster_loses_nothing_and_keeps_the_address(folder: Path) -> None:
    """After a crash the stale pid file would block the start, or clients would be left with a dead address."""
    server = postgres.ensure_running(folder)
    with postgres.connect(server, "postgres") as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    os.kill(postmaster(folder), signal.SIGKILL)
    assert postgres.ensure_running(folder) == server
    with postgres.connect(server, "postgres") as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)


def test_a_pid_file_that_names_a_stranger_is_stale(folder: Path) -> None:
    """After a reboot the old id may belong to any program, and PostgreSQL alone would refuse to start for ever."""
    postgres.ensure_running(folder)
    pid_file = folder / "cluster" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    postgres.stop(folder)
    pid_file.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    assert answer(postgres.ensure_running(folder)) == 42


def test_an_interrupted_creation_is_begun_again(folder: Path) -> None:
    """Half a cluster, left by a kill during initdb, would be started and fail for ever."""
    (folder / "cluster.partial" / "base").mkdir(parents=True)
    assert answer(postgres.ensure_running(folder)) == 42


def test_several_processes_start_one_server(folder: Path) -> None:
    """`make up` starts its services at once: without the lock they would create the cluster over each other."""
    code = "print(postgres.ensure_running(Path(sys.argv[1])).port)"
    processes = [in_another_process(code, str(folder)) for _ in range(3)]
    ports = {p.communicate(timeout=60)[0].strip() for p in processes}
    assert [p.returncode for p in processes] == [0, 0, 0]
    assert ports == {str(postgres.ensure_running(folder).port)}


def test_the_last_user_stops_it_even_if_another_was_killed(folder: Path) -> None:
    """Servers would pile up after crashed runs, or the first to leave would stop the server of the rest."""
    code = """
        with postgres.running(Path(sys.argv[1])):
            print("in", flush=True)
            sys.stdin.read()
    """
    other = in_another_process(code, str(folder))
    assert other.stdout is not None
    assert other.stdout.readline().strip() == "in"
    with postgres.running(folder) as server:
        assert answer(server) == 42
    assert answer(server) == 42, "the other one still works with it"
    with postgres.running(folder):
        other.kill()
        other.communicate()
    with pytest.raises(PostgresError):
        answer(server)


def test_a_taken_port_is_replaced(folder: Path) -> None:
    """A port that another program took meanwhile would keep the server from starting."""
    first = postgres.ensure_running(folder)
    postgres.stop(folder)
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", first.port))
        squatter.listen()
        second = postgres.ensure_running(folder)
    assert second.port != first.port
    assert answer(second) == 42


def test_it_says_why_it_cannot_start(folder: Path) -> None:
    """An operator would see `pg_ctl failed` and not the server's own words."""
    with pytest.raises(PostgresError, match="no_such_setting"):
        postgres.ensure_running(folder, overrides={"no_such_setting": "1"})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_runs_as_an_ordinary_user(folder: Path) -> None:
    """Most developers are not root: everything would work on the build server only."""
    folder.parent.chmod(0o777)
    code = """
        import os, psycopg
        psycopg.adapters, psycopg.pq.version()
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        with postgres.running(Path(sys.argv[1])) as server:
            with postgres.connect(server, "postgres") as connection:
                print(connection.execute("SELECT 42").fetchone()[0], os.geteuid())
    """
    process = in_another_process(code, str(folder))
    assert process.communicate(timeout=60)[0].split() == ["42", "65534"]


def test_databases_are_created_once_by_many(postgres_server: ServerInfo) -> None:
    """Two processes that start together would race for CREATE DATABASE and one would fail."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: postgres.ensure_database(postgres_server, "made_by_many"), range(4)))
    postgres.drop_database(postgres_server, "made_by_many")
    with pytest.raises(PostgresError, match="made_by_many"):
        postgres.connect(postgres_server, "made_by_many")


def test_every_client_library_takes_its_address(postgres_server: ServerInfo, database_name: str) -> None:
    """Dagster (psycopg2), SQLAlchemy (psycopg 3) and DuckDB (libpq) each spell an address in their own way."""
    old = psycopg2.connect(postgres_server.url(database_name))
    old.close()
    engine = sqlalchemy.create_engine(postgres_server.sqlalchemy_url(database_name))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT current_database()").scalar_one() == database_name
    engine.dispose()
    assert f"dbname={database_name}" in postgres_server.conninfo(database_name)
    assert postgres_server.trytond_uri().endswith(f":{postgres_server.port}")
    assert duckdb.__version__.startswith("1.5")


def test_a_url_is_read_whole_and_its_password_hidden() -> None:
    """An external server's TLS option would get lost, or its password would show in a log."""
    server = ServerInfo.from_url("postgresql+psycopg://ann:p%40ss@db.example:6000/main?sslmode=require")
    assert server.conninfo("lake") == "host=db.example port=6000 user=ann password=p@ss dbname=lake sslmode=require"
    assert server.url("dagster") == "postgresql://ann:p%40ss@db.example:6000/dagster?sslmode=require"
    assert server.maintenance_database == "main"
    assert "p@ss" not in repr(server)
    with pytest.raises(ValueError, match="not of the form") as error:
        ServerInfo.from_url("postgresql://ann:hidden@[broken")
    assert "hidden" not in str(error.value)
