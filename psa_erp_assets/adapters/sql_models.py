"""SQL models: one SELECT a file, its meaning and tests in the folder's YAML, checked as a whole before anything runs.

A model is named by its file and reads lake tables and other models by their names. `staging` renames and casts lake
tables and is kept as views; `intermediate` and `marts` build on staging and are tables. Inputs and column lineage
come from sqlglot; names, columns and types are bound by DuckDB itself, in memory, against empty lake tables.
"""

import enum
import graphlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import duckdb
import pandas as pd
import sqlglot
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlglot import exp
from sqlglot.lineage import lineage
from sqlglot.optimizer.scope import traverse_scope

from psa_erp_assets.adapters.duck_sql import FUNCTIONS, identifier, literal
from psa_erp_assets.adapters.lake import Lake, Written, column_types
from psa_erp_assets.contracts.lake_tables import LakeTable

_DIALECT = "duckdb"
_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)
# How many failing rows a test hands back; their number is always whole.
_SAMPLE = 20
_NO_ROWS = pd.DataFrame()


class Layer(enum.StrEnum):
    """Where a model stands on the way from lake tables to marts, and the folder that it is in."""

    STAGING = "staging"
    INTERMEDIATE = "intermediate"
    MARTS = "marts"


class SqlModelError(Exception):
    """Models that cannot be used; `problems` has one line each, with file, line and what is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a model, its DuckDB type and what it means."""

    name: str
    type: str
    description: str


@dataclass(frozen=True, slots=True)
class ModelTest:
    """A SELECT of the rows that break a rule. `where` are the keys under which the model's YAML has the rule."""

    name: str
    sql: str
    where: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlModel:
    """One model. `inputs` are the tables and models that it reads, `grain` the columns that identify a row.

    `tested_against` are the models that its tests read besides itself: they must be there before it is tested.
    `column_lineage` has, for each column, the (input, column) pairs that its values come from.
    """

    name: str
    layer: Layer
    sql: str
    inputs: tuple[str, ...]
    columns: tuple[Column, ...]
    column_lineage: Mapping[str, tuple[tuple[str, str], ...]]
    description: str
    grain: tuple[str, ...]
    tests: tuple[ModelTest, ...]
    tested_against: tuple[str, ...]
    path: Path

    @property
    def kind(self) -> Literal["TABLE", "VIEW"]:
        """How the lake keeps it."""
        return "VIEW" if self.layer is Layer.STAGING else "TABLE"


@dataclass(frozen=True, slots=True)
class TestResult:
    """How many rows break a test's rule, and the first of them."""

    name: str
    failures: int
    sample: pd.DataFrame

    @property
    def passed(self) -> bool:
        """Whether no row breaks it."""
        return self.failures == 0


def load_models(root: Path, sources: Iterable[LakeTable]) -> list[SqlModel]:
    """All models under `root`, every one after its inputs. Raises SqlModelError with every problem found."""
    loader = _Loader(root, {table.name: table for table in sources})
    models = loader.load()
    if loader.problems:
        raise SqlModelError(loader.problems)
    return models


def run_model(lake: Lake, model: SqlModel) -> Written:
    """Bring the model's table or view up to date in one transaction; says how many rows it has.

    `changed` is about the rows of a table and the definition of a view.
    """
    if model.kind == "VIEW":
        changed = lake.define_view(model.name, model.sql, model.description)
        count = lake.query(f"SELECT count(*) FROM {identifier(model.name)}")
        return Written(rows=int(count.column(0)[0].as_py()), changed=changed)
    types = {column.name: column.type for column in model.columns}
    meanings = {column.name: column.description for column in model.columns}
    return lake.replace_table(model.name, model.sql, types, model.description, meanings)


def run_tests(lake: Lake, model: SqlModel) -> list[TestResult]:
    """The result of each of the model's tests on what the lake has now."""
    # All counts from one reading: in the name of the model, the tests read a copy that is made once for this query.
    counts = ", ".join(f"(SELECT count(*) FROM ({test.sql}))" for test in model.tests)
    name = identifier(model.name)
    copy = f"WITH {name} AS MATERIALIZED (SELECT * FROM lake.{name})"
    failures = [int(column[0].as_py()) for column in lake.query(f"{copy} SELECT {counts}").columns]
    results = []
    for test, count in zip(model.tests, failures, strict=True):
        sample = f"SELECT * FROM ({test.sql}) LIMIT {_SAMPLE}"
        results.append(TestResult(test.name, count, lake.frame(sample) if count else _NO_ROWS))
    return results


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Relationship(_Described):
    to: str
    column: str


class _ColumnDoc(_Described):
    type: str
    description: str = Field(min_length=1)
    unique: bool = False
    not_null: bool = False
    accepted_values: tuple[str, ...] = ()
    relationship: _Relationship | None = None


class _Assertion(_Described):
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    sql: str


class _ModelDoc(_Described):
    description: str = Field(min_length=1)
    grain: tuple[str, ...] = Field(min_length=1)
    columns: dict[str, _ColumnDoc]
    assertions: tuple[_Assertion, ...] = ()


class _FolderDoc(_Described):
    models: dict[str, _ModelDoc]


@dataclass
class _Draft:
    """A model on its way through the checks."""

    name: str
    layer: Layer
    path: Path
    sql: str
    query: exp.Query
    doc: _ModelDoc
    inputs: tuple[str, ...] = ()
    tested_against: tuple[str, ...] = ()
    types: dict[str, str] = field(default_factory=dict)

    @property
    def docs(self) -> str:
        """The name of the file that describes it."""
        return f"{self.layer}.yaml"

    @property
    def described_in(self) -> Path:
        """The file that describes it."""
        return self.path.with_name(self.docs)


class _Loader:
    def __init__(self, root: Path, sources: Mapping[str, LakeTable]) -> None:
        self.root, self.sources = root, sources
        self.problems: list[str] = []
        self.lines: dict[Path, yaml.Node | None] = {}

    def load(self) -> list[SqlModel]:
        drafts = {d.name: d for layer in Layer for d in self._read_folder(layer)}
        if self.problems:
            return []
        for draft in drafts.values():
            draft.inputs = self._inputs(draft, drafts)
            draft.tested_against = _tested_against(draft, drafts)
        ordered = self._ordered(drafts)
        if self.problems:
            return []
        with duckdb.connect() as connection:
            for statement in FUNCTIONS:
                connection.execute(statement)
            schema = {name: column_types(connection, table) for name, table in self.sources.items()}
            for name, columns in schema.items():
                body = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
                connection.execute(f'CREATE TABLE "{name}" ({body})')
            models: list[SqlModel] = []
            failed: set[str] = set()
            for draft in ordered:
                # What reads a broken model would only repeat its trouble in other words.
                if failed.intersection(draft.inputs) or not self._bind(connection, draft):
                    failed.add(draft.name)
                    continue
                schema[draft.name] = draft.types
                models.append(self._finish(connection, draft, schema))
        return models

    def _read_folder(self, layer: Layer) -> list[_Draft]:
        folder = self.root / layer
        paths = sorted(folder.glob("*.sql"))
        docs = self._read_docs(folder / f"{layer}.yaml") if paths else {}
        if docs is None:
            return []
        described = folder / f"{layer}.yaml"
        for name in sorted(set(docs) - {path.stem for path in paths}):
            self._described_problem(described, ("models", name), f"describes {name}, of which there is no file")
        drafts = []
        for path in paths:
            sql = path.read_text(encoding="utf-8").rstrip()
            query = self._parse(path, sql)
            if path.stem in self.sources:
                self._problem(path, None, "has the name of a lake table")
            if path.stem not in docs:
                self._problem(path, None, f"is not described in {layer}.yaml")
            elif query is not None:
                drafts.append(_Draft(path.stem, layer, path, sql, query, docs[path.stem]))
        return drafts

    def _read_docs(self, path: Path) -> dict[str, _ModelDoc] | None:
        try:
            text = path.read_text(encoding="utf-8")
            self.lines[path] = yaml.compose(text, Loader=yaml.SafeLoader)
            return _FolderDoc.model_validate(yaml.safe_load(text)).models
        except FileNotFoundError:
            self._problem(path, None, "is missing; every folder of models is described by one")
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            self._problem(path, mark.line + 1 if mark else None, f"not valid YAML: {getattr(error, 'problem', error)}")
        except ValidationError as error:
            for problem in error.errors():
                where = ".".join(map(str, problem["loc"]))
                self._described_problem(path, problem["loc"], f"{where}: {problem['msg']}")
        return None

    def _parse(self, path: Path, sql: str) -> exp.Query | None:
        try:
            statements = sqlglot.parse(sql, dialect=_DIALECT)
        except sqlglot.errors.ParseError as error:
            first = error.errors[0] if error.errors else {}
            self._problem(path, first.get("line"), str(first.get("description", error)))
            return None
        if len(statements) == 1 and isinstance(statements[0], exp.Query):
            return statements[0]
        self._problem(path, 1, "a model is exactly one SELECT")
        return None

    def _inputs(self, draft: _Draft, drafts: Mapping[str, _Draft]) -> tuple[str, ...]:
        """The names that it reads, common table expressions aside, each checked to be there and of a lower layer."""
        found = {
            table.name: table
            for scope in traverse_scope(draft.query)
            for table in scope.sources.values()
            if isinstance(table, exp.Table)
        }
        for name, table in found.items():
            line = table.this.meta.get("line")
            source = drafts.get(name)
            if source is None and name not in self.sources:
                self._problem(draft.path, line, f"{name} is neither a lake table nor a model")
            elif (source is None) != (draft.layer is Layer.STAGING):
                self._problem(draft.path, line, f"{name}: staging models alone read lake tables, and nothing else")
            elif source is not None and source.layer is Layer.MARTS and draft.layer is Layer.INTERMEDIATE:
                self._problem(draft.path, line, f"{name}: an intermediate model does not read a mart")
        return tuple(sorted(found))

    def _ordered(self, drafts: Mapping[str, _Draft]) -> list[_Draft]:
        graph = {
            name: [i for i in draft.inputs if i in drafts] + list(draft.tested_against)
            for name, draft in drafts.items()
        }
        try:
            return [drafts[name] for name in graphlib.TopologicalSorter(graph).static_order()]
        except graphlib.CycleError as error:
            circle = error.args[1]
            self._problem(drafts[circle[0]].path, None, f"reads itself: {' → '.join(circle)}")
            return []

    def _bind(self, connection: duckdb.DuckDBPyConnection, draft: _Draft) -> bool:
        """Have DuckDB resolve every name and type, and hold the columns against their description."""
        try:
            connection.execute(f'CREATE VIEW "{draft.name}" AS {draft.sql}')
        except duckdb.Error as error:
            line = _LINE.search(str(error))
            self._problem(draft.path, int(line[1]) if line else None, str(error).split("\n", 1)[0])
            return False
        draft.types = {row[0]: row[1] for row in connection.execute(f'DESCRIBE "{draft.name}"').fetchall()}
        described = {name: column.type for name, column in draft.doc.columns.items()}
        columns = ("models", draft.name, "columns")
        for name in [*draft.types, *(n for n in described if n not in draft.types)]:
            if name not in described:
                self._problem(
                    draft.path, _line_of(draft.query, name), f"column {name} is not described in {draft.docs}"
                )
            elif name not in draft.types:
                text = f"{draft.name} has no column {name}, which is described here"
                self._described_problem(draft.described_in, (*columns, name), text)
            elif draft.types[name] != described[name]:
                text = f"{name} of {draft.name} is {draft.types[name]}, described as {described[name]}"
                self._described_problem(draft.described_in, (*columns, name, "type"), text)
            elif draft.types[name] in ("DOUBLE", "FLOAT"):
                self._problem(draft.path, _line_of(draft.query, name), f"{name} is a float; cast it to a decimal")
        for name in draft.doc.grain:
            if name not in draft.types:
                where, text = (
                    ("models", draft.name, "grain"),
                    f"the grain of {draft.name} names {name}, which it has not",
                )
                self._described_problem(draft.described_in, where, text)
        return True

    def _finish(self, connection: duckdb.DuckDBPyConnection, draft: _Draft, schema: Mapping[str, Any]) -> SqlModel:
        tests = list(_tests(draft))
        for test in tests:
            try:
                connection.execute(f"DESCRIBE {test.sql}")
            except duckdb.Error as error:
                where = ("models", draft.name, *test.where)
                text = f"test {test.name} of {draft.name}: {str(error).splitlines()[0]}"
                self._described_problem(draft.described_in, where, text)
        return SqlModel(
            name=draft.name,
            layer=draft.layer,
            sql=draft.sql,
            inputs=draft.inputs,
            columns=tuple(
                Column(name, kind, draft.doc.columns[name].description if name in draft.doc.columns else "")
                for name, kind in draft.types.items()
            ),
            column_lineage=_lineage(draft, schema),
            description=draft.doc.description.strip(),
            grain=draft.doc.grain,
            tests=tuple(tests),
            tested_against=draft.tested_against,
            path=draft.path,
        )

    def _described_problem(self, path: Path, where: Sequence[str | int], text: str) -> None:
        """A problem of what YAML says: at the line of the innermost of these keys that is there."""
        node, line = self.lines.get(path), 1
        for key in where:
            if isinstance(node, yaml.MappingNode):
                found = next(((k, v) for k, v in node.value if k.value == key), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
                found = (node.value[key], node.value[key])
            else:
                found = None
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        self._problem(path, line, text)

    def _problem(self, path: Path, line: int | None, text: str) -> None:
        self.problems.append(f"{path}{f':{line}' if line else ''}: {text}")


def _line_of(query: exp.Query, column: str) -> int | None:
    """The line on which a column of the result is named, where the parser knows it."""
    for selected in query.selects:
        if selected.alias_or_name == column:
            lines = [node.meta["line"] for node in selected.walk() if "line" in node.meta]
            return max(lines, default=None)
    return None


def _lineage(draft: _Draft, schema: Mapping[str, Any]) -> dict[str, tuple[tuple[str, str], ...]]:
    """For each column, the (input, column) pairs that its values come from."""
    roots = lineage(None, draft.query, {name: schema[name] for name in draft.inputs}, dialect=_DIALECT)
    return {
        column: tuple(
            sorted(
                {
                    (node.expression.name, exp.to_column(node.name).name)
                    for node in roots[column].walk()
                    if isinstance(node.expression, exp.Table)
                }
            )
        )
        for column in draft.types
    }


def _tests(draft: _Draft) -> Iterable[ModelTest]:
    model = identifier(draft.name)
    grain = ", ".join(identifier(column) for column in draft.doc.grain)
    yield ModelTest("unique_grain", _duplicates(model, grain), ("grain",))
    for column, doc in draft.doc.columns.items():
        name, where = identifier(column), ("columns", column)
        if doc.unique:
            yield ModelTest(f"unique_{column}", _duplicates(model, name), where)
        if doc.not_null:
            yield ModelTest(f"not_null_{column}", f"SELECT * FROM {model} WHERE {name} IS NULL", where)
        if doc.accepted_values:
            values = ", ".join(literal(v) for v in doc.accepted_values)
            yield ModelTest(f"accepted_values_{column}", f"SELECT * FROM {model} WHERE {name} NOT IN ({values})", where)
        if doc.relationship:
            other, key = identifier(doc.relationship.to), identifier(doc.relationship.column)
            yield ModelTest(
                f"relationship_{column}",
                f"SELECT * FROM {model} WHERE {name} IS NOT NULL"
                f" AND {name} NOT IN (SELECT {key} FROM {other} WHERE {key} IS NOT NULL)",
                (*where, "relationship"),
            )
    for number, assertion in enumerate(draft.doc.assertions):
        yield ModelTest(assertion.name, assertion.sql.strip(), ("assertions", number))


def _tested_against(draft: _Draft, drafts: Mapping[str, _Draft]) -> tuple[str, ...]:
    """The models that its tests read besides itself."""
    found: set[str] = set()
    for test in _tests(draft):
        try:
            found |= {table.name for table in sqlglot.parse_one(test.sql, dialect=_DIALECT).find_all(exp.Table)}
        except sqlglot.errors.ParseError:
            # DuckDB says what is wrong with it when the model is bound.
            continue
    return tuple(sorted(found & drafts.keys() - {draft.name} - set(draft.inputs)))


def _duplicates(model: str, columns: str) -> str:
    return f"SELECT {columns}, count(*) AS copies FROM {model} GROUP BY {columns} HAVING count(*) > 1"
