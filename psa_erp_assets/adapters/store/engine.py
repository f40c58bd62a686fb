"""The engine on the operational store: one way to connect, with limits that keep one stuck worker from stopping all."""

from sqlalchemy import URL, Engine, create_engine, make_url

STATEMENT_TIMEOUT_SECONDS = 120
# A transaction holds row locks while it idles; longer than this its process hangs or has lost its connection.
IDLE_IN_TRANSACTION_SECONDS = 300


def make_engine(url: str | URL, *, application_name: str = "psa-erp", pool_size: int = 4) -> Engine:
    """An engine with a small pool, sessions in UTC and time limits. It connects on first use.

    `url` is any `postgresql://` URL; psycopg 3 is used whatever driver it names. `application_name` is what
    `pg_stat_activity` shows. Dispose of the engine at the end of its process or test.
    """
    options = {
        "timezone": "UTC",
        "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
    }
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=pool_size,
        # A connection may have died with a restarted server while it lay in the pool.
        pool_pre_ping=True,
        connect_args={
            "application_name": application_name,
            "connect_timeout": 10,
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        },
    )
