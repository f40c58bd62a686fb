"""The least that the machine needs for the planner's inputs and outputs: the floor that planning is measured by.

The floor is the sum of three parts, each done the plainest quick way there is, in one process:

1. copy in: the very rows of `time_entry` and `work_fact`, COPYed from files into tables that have the columns and the
   primary key of the real ones and no other index;
2. query: one DuckDB query over the same facts, already in DuckDB tables, that joins project, contract as of the day,
   employee and customer, takes bill rates, cost rates and FX as of the day (ASOF JOIN), keeps a running total a
   contract (window), computes the lines, costs and charges between entities, and writes them to a file with a JSON body
   a row, as wide as that of a stored plan item. It knows no caps, retainers, increments or rounding of totals, and
   divides by sixty in binary, which is quick and no way to post an amount;
3. copy out: these rows COPYed into a table with the columns and the primary key of a plan's items.

Getting the facts out of PostgreSQL into files and into DuckDB, and the master data, is not timed. The parallel figure
copies with two connections, half of the bytes each; DuckDB uses all cores in both.
"""

import itertools
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import psycopg
from psycopg import sql

from psa_erp_assets.benchmarks.world import MONTH, TENANT, World
from psa_erp_assets.domain.records import Contract

_BLOCK = 1 << 20
_TABLES = {
    "time_entry": "PRIMARY KEY (tenant, entry_id, revision)",
    "work_fact": "PRIMARY KEY (tenant, object_id, revision)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Seconds of the parts, how many effects came out and their bytes, and the copies with two connections."""

    copy_in: float
    query: float
    copy_out: float
    effects: int
    megabytes_out: float
    copy_in_parallel: float
    copy_out_parallel: float

    @property
    def seconds(self) -> float:
        """The floor."""
        return self.copy_in + self.query + self.copy_out

    @property
    def seconds_parallel(self) -> float:
        """The same with two connections."""
        return self.copy_in_parallel + self.query + self.copy_out_parallel


def measure_floor(conninfo: str, world: World, folder: Path) -> Floor:
    """The floor for the facts in a seeded database. Files go to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "effects.csv"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for table in _TABLES:
            _export(connection, table, folder)
    with duckdb.connect() as lake:
        _load(lake, world, folder)
        begun = time.perf_counter()
        effects = lake.execute(_QUERY, [str(out)]).fetchall()[0][0]
        query = time.perf_counter() - begun
    files = {table: folder / f"{table}.copy" for table in _TABLES}
    return Floor(
        copy_in=_copied(conninfo, files, 1, ""),
        copy_in_parallel=_copied(conninfo, files, 2, ""),
        query=query,
        copy_out=_copied(conninfo, {"effect": out}, 1, "(FORMAT csv)"),
        copy_out_parallel=_copied(conninfo, {"effect": out}, 2, "(FORMAT csv)"),
        effects=int(effects),
        megabytes_out=out.stat().st_size / 1e6,
    )


def _export(connection: psycopg.Connection[Any], table: str, folder: Path) -> None:
    statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier("ops", table))
    csv = sql.SQL("COPY {} TO STDOUT (FORMAT csv, HEADER)").format(sql.Identifier("ops", table))
    for query, path in ((statement, folder / f"{table}.copy"), (csv, folder / f"{table}.csv")):
        with connection.cursor().copy(query) as copy, path.open("wb") as file:
            file.writelines(copy)


def _copied(conninfo: str, files: dict[str, Path], streams: int, form: str) -> float:
    """Seconds to make the tables anew and to copy the files into them with so many connections."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS floor CASCADE")
        connection.execute("CREATE SCHEMA floor")
        connection.execute("CHECKPOINT")
        begun = time.perf_counter()
        for table in files:
            connection.execute(_definition(table))
    # One table after the other, each by as many connections as were asked for.
    for table, path in files.items():
        threads = [
            threading.Thread(target=_stream, args=(conninfo, table, path, form, (part, streams)))
            for part in range(streams)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return time.perf_counter() - begun


def _definition(table: str) -> sql.Composed:
    if table in _TABLES:
        of = sql.Identifier("ops", table)
        key = sql.SQL(_TABLES[table])
        return sql.SQL("CREATE TABLE {} (LIKE {}, {})").format(sql.Identifier("floor", table), of, key)
    return sql.SQL(
        "CREATE TABLE {} (plan_id bigint, seq integer, action text, effect_type text, object_id text,"
        " contract_id text, key text, target_key text, amount numeric, currency text, minutes integer, reason text,"
        " body jsonb, PRIMARY KEY (plan_id, seq))"
    ).format(sql.Identifier("floor", table))


def _stream(conninfo: str, table: str, path: Path, form: str, share: tuple[int, int]) -> None:
    """Copy one of so many equal parts of a file, cut at the ends of lines."""
    part, parts = share
    size = path.stat().st_size
    statement = sql.SQL("COPY {} FROM STDIN {}").format(sql.Identifier("floor", table), sql.SQL(form))
    with path.open("rb") as file, psycopg.connect(conninfo) as connection:
        begin, end = (_line_from(file, size * n // parts) for n in (part, part + 1))
        file.seek(begin)
        with connection.cursor().copy(statement) as copy:
            while begin < end:
                block = file.read(min(_BLOCK, end - begin))
                begin += len(block)
                copy.write(block)


def _line_from(file: Any, position: int) -> int:
    """Where the first line begins at or after a position."""
    if position == 0:
        return 0
    file.seek(position - 1)
    file.readline()
    return int(file.tell())


def _load(lake: duckdb.DuckDBPyConnection, world: World, folder: Path) -> None:
    """Facts and master data as tables of DuckDB."""
    lake.execute(
        "CREATE TABLE entry AS SELECT * FROM read_csv(?, header = true, all_varchar = false,"
        " types = {'service_date': 'DATE', 'minutes': 'INTEGER', 'billable': 'BOOLEAN', 'task': 'VARCHAR'})",
        [str(folder / "time_entry.csv")],
    )
    lake.execute(
        "CREATE TABLE expense AS SELECT object_id, body ->> 'psa_user_id' AS psa_user_id,"
        " body ->> 'psa_project_id' AS psa_project_id, CAST(body ->> 'service_date' AS DATE) AS service_date,"
        " CAST(body ->> '$.receipt.amount' AS DECIMAL(12, 2)) AS receipt, body ->> '$.receipt.currency' AS currency,"
        " CAST(body ->> 'billable' AS BOOLEAN) AS billable, body ->> 'description' AS description"
        " FROM read_csv(?, header = true, types = {'body': 'JSON'}) WHERE kind = 'expense'",
        [str(folder / "work_fact.csv")],
    )
    master = world.master
    entities = {e.code: e for e in master.legal_entities}
    _table(lake, "project", "psa_id text, project_id text, contract_id text, analytic text",
           ((p.psa_id, p.id, p.contract_id, next(iter(p.erp_analytics.values()), None))
            for p in master.projects))  # fmt: skip
    _table(lake, "customer", "customer_id text, party text", ((c.id, c.erp_party) for c in master.customers))
    _table(lake, "employee", "psa_user_id text, employee_id text, name text, role text, employer text, company text,"
           " currency text",
           ((e.psa_user_id, e.id, e.name, e.role, e.legal_entity, entities[e.legal_entity].erp_company,
             entities[e.legal_entity].currency) for e in master.employees))  # fmt: skip
    _table(lake, "contract", "contract_id text, valid_from date, customer_id text, entity text, company text,"
           " books text, currency text, discount decimal(9, 4), card text, priced boolean",
           (row for c in master.contracts for row in _versions(c, world)))  # fmt: skip
    _table(lake, "bill_rate", "project_id text, employee_id text, valid_from date, per_hour decimal(12, 4)",
           ((r.project_id, r.employee_id or "*", r.valid_from, r.per_hour.amount) for r in master.bill_rates)
           )  # fmt: skip
    _table(lake, "card_rate", "card text, role text, valid_from date, per_hour decimal(12, 4)",
           ((r.card, r.role, r.valid_from, r.per_hour.amount) for r in world.scope.rate_cards
            if r.role is not None and r.task is None and r.contract_id is None))  # fmt: skip
    _table(lake, "cost_rate", "employee_id text, valid_from date, per_hour decimal(12, 4), currency text",
           ((r.employee_id, r.valid_from, r.per_hour.amount, r.per_hour.currency) for r in master.cost_rates)
           )  # fmt: skip
    _table(lake, "fx", "source text, target text, valid_from date, rate decimal(18, 9)", _fx(world))


def _table(lake: duckdb.DuckDBPyConnection, name: str, columns: str, rows: Iterable[Sequence[Any]]) -> None:
    lake.execute(f"CREATE TABLE {name} ({columns})")
    lake.append(name, pd.DataFrame(list(rows), dtype=object))


def _versions(contract: Contract, world: World) -> Iterable[Sequence[Any]]:
    entity = next(e for e in world.master.legal_entities if e.code == contract.legal_entity)
    for day in [contract.valid_from, *(a.effective_from for a in contract.amendments)]:
        terms = contract.as_of(day).terms
        priced = any(c.kind.value in ("time_and_materials", "capped") for c in terms.components)
        yield (
            contract.id, day, contract.customer_id, entity.code, entity.erp_company, entity.currency,
            contract.currency, terms.pricing.discount, terms.pricing.rate_card, priced,
        )  # fmt: skip


def _fx(world: World) -> Iterable[Sequence[Any]]:
    currencies = [e.currency for e in world.master.legal_entities]
    days = sorted({r.date for r in world.master.fx_rates})
    for source, target in itertools.product(currencies, currencies):
        if source == target:
            yield source, target, MONTH.first_day.replace(month=1), Decimal(1)
            continue
        for day in days:
            found = world.master.conversion(source, target, day)
            if found is not None:
                yield source, target, day, round(found.rate, 9)


_BODY = """'{"effect": {"effect_type": "' || effect_type || '", "erp_company": "' || company || '", "party": "'
    || coalesce(party, '') || '", "analytic": "' || coalesce(analytic, '') || '", "employee_name": "' || name
    || '", "service_date": "' || service_date || '", "minutes": ' || minutes || ', "per_hour": {"amount": "'
    || per_hour || '", "currency": "' || currency || '"}, "amount": {"amount": "' || amount || '", "currency": "'
    || currency || '"}, "description": ' || to_json(description) || ', "account": "revenue", "so_far": "'
    || so_far || '"}, "hold": null, "revision": 1, "source_revision": 1, "depends_on": null}'"""

_QUERY = f"""
COPY (
  WITH known AS (
    SELECT e.entry_id, e.service_date, e.started_at, e.minutes, e.billable, e.description, p.project_id, p.contract_id,
           p.analytic, c.entity, c.company, c.books, c.currency, c.discount, c.card, c.priced, u.party, h.employee_id,
           h.name, h.role, h.employer, h.company AS employing, h.currency AS employing_books
    FROM entry e
    JOIN project p ON p.psa_id = e.psa_project_id
    JOIN employee h ON h.psa_user_id = e.psa_user_id
    ASOF JOIN contract c ON c.contract_id = p.contract_id AND e.service_date >= c.valid_from
    JOIN customer u ON u.customer_id = c.customer_id
  ),
  rated AS (
    SELECT k.*, coalesce(person.per_hour, project.per_hour, card.per_hour) * (1 - k.discount) AS rate,
           cost.per_hour AS cost_rate, cost.currency AS cost_currency, into_books.rate AS into_books,
           into_employing.rate AS into_employing
    FROM known k
    ASOF LEFT JOIN bill_rate person ON person.project_id = k.project_id AND person.employee_id = k.employee_id
                                   AND k.service_date >= person.valid_from
    ASOF LEFT JOIN (FROM bill_rate WHERE employee_id = '*') project
                ON project.project_id = k.project_id AND k.service_date >= project.valid_from
    ASOF LEFT JOIN card_rate card ON card.card = k.card AND card.role = k.role AND k.service_date >= card.valid_from
    ASOF LEFT JOIN cost_rate cost ON cost.employee_id = k.employee_id AND k.service_date >= cost.valid_from
    ASOF LEFT JOIN fx into_books ON into_books.source = cost.currency AND into_books.target = k.books
                                AND k.service_date >= into_books.valid_from
    ASOF LEFT JOIN fx into_employing ON into_employing.source = cost.currency
                                    AND into_employing.target = k.employing_books
                                    AND k.service_date >= into_employing.valid_from
  ),
  spent AS (
    SELECT x.object_id, x.service_date, x.billable, x.description, p.contract_id, p.analytic, c.company, c.books,
           c.currency, u.party, h.name, x.receipt, billed.rate AS into_contract, paid.rate AS into_books
    FROM expense x
    JOIN project p ON p.psa_id = x.psa_project_id
    JOIN employee h ON h.psa_user_id = x.psa_user_id
    ASOF JOIN contract c ON c.contract_id = p.contract_id AND x.service_date >= c.valid_from
    JOIN customer u ON u.customer_id = c.customer_id
    ASOF JOIN fx billed ON billed.source = x.currency AND billed.target = c.currency
                       AND x.service_date >= billed.valid_from
    ASOF JOIN fx paid ON paid.source = x.currency AND paid.target = c.books AND x.service_date >= paid.valid_from
  ),
  effect AS (
    SELECT 'billing_line' AS effect_type, entry_id AS object_id, contract_id, company, party, analytic, name,
           service_date, minutes, round(rate, 4) AS per_hour, currency, description,
           round(CAST(rate * minutes AS DECIMAL(28, 6)) / 60, 2)::DECIMAL(18, 2) AS amount,
           sum(round(CAST(rate * minutes AS DECIMAL(28, 6)) / 60, 2)::DECIMAL(18, 2))
             OVER (PARTITION BY contract_id ORDER BY service_date, started_at, entry_id) AS so_far
    FROM rated WHERE priced AND billable AND rate IS NOT NULL
    UNION ALL
    SELECT 'cost_transaction', entry_id, contract_id, company, NULL, analytic, name, service_date, minutes, cost_rate,
           books, description,
           round(CAST(cost_rate * minutes AS DECIMAL(28, 6)) * into_books / 60, 2)::DECIMAL(18, 2), 0
    FROM rated WHERE cost_rate IS NOT NULL
    UNION ALL
    SELECT 'intercompany_charge', entry_id, contract_id, employing, NULL, NULL, name, service_date, minutes, cost_rate,
           employing_books, description,
           round(CAST(cost_rate * minutes AS DECIMAL(28, 6)) * into_employing / 60, 2)::DECIMAL(18, 2), 0
    FROM rated WHERE cost_rate IS NOT NULL AND employer <> entity
    UNION ALL
    SELECT 'billing_line', object_id, contract_id, company, party, analytic, name, service_date, 0, 0, currency,
           description, round(receipt * into_contract, 2)::DECIMAL(18, 2), 0
    FROM spent WHERE billable
    UNION ALL
    SELECT 'cost_transaction', object_id, contract_id, company, NULL, analytic, name, service_date, 0, 0, books,
           description, round(receipt * into_books, 2)::DECIMAL(18, 2), 0
    FROM spent
  )
  SELECT 1, row_number() OVER (), 'create', effect_type, object_id, contract_id,
         left(sha256('{TENANT}' || company || effect_type || object_id), 32), NULL, amount, currency, minutes,
         'not in the ERP yet', {_BODY}
  FROM effect
) TO ? (FORMAT csv, HEADER false)
"""  # noqa: S608  # the texts of this module alone
