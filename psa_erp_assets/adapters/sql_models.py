"""SQL models: one SELECT a file, its meaning and tests in the folder's YAML, checked as a whole before anything runs.

A model is named by its file and reads lake tables and other models by their names. `staging` renames and casts lake
tables and is kept as views; `intermediate` and `marts` build on staging and are tables. Inputs and column lineage
come from sqlglot; names, columns and types are bound by DuckDB itself, in memory, against empty lake tables.
"""

import enum
import graphlib
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import duckdb
import sqlglot
import yaml
from annotated_types import Len
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlglot import exp
from sqlglot.lineage import lineage
from sqlglot.optimizer.scope import traverse_scope

from psa_erp_assets.adapters.duck_sql import FUNCTIONS, identifier, literal
from psa_erp_assets.adapters.lake import column_types
from psa_erp_assets.contracts.lake_tables import LakeTable

_DIALECT = "duckdb"
_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)


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
    """A SELECT of the rows that break a rule. `where` are the keys under which the model's YAML has the rule.

    `breaks` is the condition of a row that breaks it, where that can be told of each row by itself; `unique` the
    columns of which no two rows may have the same values.
    """

    name: str
    sql: str
    where: tuple[str | int, ...] = ()
    breaks: str | None = None
    unique: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LookUp:
    """An input that is looked up by `key`, which is compared with columns of inputs by month: (input, column) pairs.

    `table` and `column` are what holds the key in the lake.
    """

    input: str
    key: str
    found_in: tuple[tuple[str, str], ...]
    table: str
    column: str


@dataclass(frozen=True, slots=True)
class Incremental:
    """How a model is made anew for some months alone.

    `month` is a column of the model and of each input in `by_month`: the model's rows of a month are made from these
    inputs' rows of the same month. An input in `by_key` is read for its keys alone, so that a changed row concerns the
    months in which its key is found. All other inputs concern every month.
    """

    month: str
    by_month: tuple[str, ...]
    by_key: tuple[LookUp, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlModel:
    """One model. `inputs` are the tables and models that it reads, `grain` the columns that identify a row.

    `tested_against` are the models that its tests read besides itself: they must be there before it is tested.
    `column_lineage` has, for each column, the (input, column) pairs that its values come from. `stored` has, for each
    of all these inputs and models, the tables of the lake that hold its rows; `fingerprint` is another one whenever
    the same rows of these tables could make other rows of the model.
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
    incremental: Incremental | None
    stored: Mapping[str, tuple[str, ...]]
    fingerprint: str
    path: Path

    def of_months(self, months: Collection[str]) -> str:
        """The model's SELECT, limited to the rows of these months. Only of a model that is incremental."""
        assert self.incremental is not None
        wanted = f"{identifier(self.incremental.month)} IN ({', '.join(map(literal, sorted(months)))})"
        limits = dict.fromkeys(self.incremental.by_month, wanted)
        for look in self.incremental.by_key:
            keys = " UNION ALL ".join(
                f"SELECT {identifier(column)} FROM lake.{identifier(name)} WHERE {wanted}"
                for name, column in look.found_in
            )
            limits[look.input] = f"{identifier(look.key)} IN ({keys})"
        # In the names of its inputs, the model reads what can matter to these months; DuckDB limits the files itself.
        limited = ", ".join(
            f"{identifier(name)} AS NOT MATERIALIZED (SELECT * FROM lake.{identifier(name)} WHERE {limit})"
            for name, limit in limits.items()
        )
        return f"WITH {limited} SELECT * FROM ({self.sql})"

    @property
    def kind(self) -> Literal["TABLE", "VIEW"]:
        """How the lake keeps it."""
        return "VIEW" if self.layer is Layer.STAGING else "TABLE"


def load_models(root: Path, sources: Iterable[LakeTable]) -> list[SqlModel]:
    """All models under `root`, every one after its inputs. Raises SqlModelError with every problem found."""
    loader = _Loader(root, {table.name: table for table in sources})
    models = loader.load()
    if loader.problems:
        raise SqlModelError(loader.problems)
    return models


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


class _IncrementalDoc(_Described):
    month: str
    by_month: tuple[str, ...] = Field(min_length=1)
    # input → its one key → where that is found, as input.column
    by_key: dict[str, Annotated[dict[str, Annotated[tuple[str, ...], Len(1)]], Len(1, 1)]] = {}


class _ModelDoc(_Described):
    description: str = Field(min_length=1)
    grain: tuple[str, ...] = Field(min_length=1)
    incremental: _IncrementalDoc | None = None
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
                models.append(self._finish(connection, draft, schema, {model.name: model for model in models}))
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

    def _finish(
        self,
        connection: duckdb.DuckDBPyConnection,
        draft: _Draft,
        schema: Mapping[str, Any],
        made: Mapping[str, SqlModel],
    ) -> SqlModel:
        tests = list(_tests(draft))
        for test in tests:
            try:
                connection.execute(f"DESCRIBE {test.sql}")
            except duckdb.Error as error:
                where = ("models", draft.name, *test.where)
                text = f"test {test.name} of {draft.name}: {str(error).splitlines()[0]}"
                self._described_problem(draft.described_in, where, text)
        read = {name: made.get(name) for name in (*draft.inputs, *draft.tested_against)}
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
            incremental=self._incremental(draft, schema, made),
            stored={
                name: (name,) if model is None or model.kind == "TABLE" else model.inputs
                for name, model in read.items()
            },
            fingerprint=_fingerprint(draft, schema, made),
            path=draft.path,
        )

    def _incremental(
        self, draft: _Draft, schema: Mapping[str, Any], made: Mapping[str, SqlModel]
    ) -> Incremental | None:
        """What its description says of being made by month, each name in it checked."""
        doc = draft.doc.incremental
        if doc is None:
            return None
        before = len(self.problems)

        def held_in(name: str, column: str, *where: str) -> tuple[str, str]:
            """The table and column of the lake behind an input's column."""
            model = made.get(name)
            if name not in draft.inputs:
                text = f"{draft.name} does not read {name}"
            elif column not in schema[name]:
                text = f"{name} has no column {column}"
            elif model is None or model.kind == "TABLE":
                return name, column
            else:
                sources = model.column_lineage[column]
                if len(sources) == 1:
                    return sources[0]
                text = f"{column} of {name} is not a column of one lake table"
            self._described_problem(draft.described_in, ("models", draft.name, "incremental", *where), text)
            return name, column

        for name in doc.by_month:
            if held_in(name, doc.month, "by_month")[1] != doc.month:
                text = f"{doc.month} has another name in the lake table behind {name}"
                self._described_problem(draft.described_in, ("models", draft.name, "incremental", "by_month"), text)
        look_ups = []
        for name, keys in doc.by_key.items():
            for key, places in keys.items():
                found_in = tuple((place.partition(".")[0], place.partition(".")[2]) for place in places)
                for source, column in found_in:
                    held_in(source, column, "by_key", name)
                    if source not in doc.by_month:
                        text = f"{source} is not among the inputs by month"
                        where = ("models", draft.name, "incremental", "by_key", name)
                        self._described_problem(draft.described_in, where, text)
                look_ups.append(LookUp(name, key, found_in, *held_in(name, key, "by_key", name)))
        month = draft.doc.columns.get(doc.month)
        if month is None or not month.not_null:
            text = f"{doc.month} must be a column of {draft.name} that is not null"
            self._described_problem(draft.described_in, ("models", draft.name, "incremental", "month"), text)
        if len(self.problems) > before:
            return None
        return Incremental(doc.month, doc.by_month, tuple(look_ups))

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


def _fingerprint(draft: _Draft, schema: Mapping[str, Any], made: Mapping[str, SqlModel]) -> str:
    """A checksum of all that decides what a model's rows are made of, the rows of its inputs aside."""
    views = {name: made[name].sql for name in draft.inputs if name in made and made[name].kind == "VIEW"}
    inputs = {name: list(schema[name].items()) for name in draft.inputs}
    how = draft.doc.incremental and draft.doc.incremental.model_dump()
    # What the model means is kept in the lake too, and is written with the rows.
    said = repr((draft.sql, draft.types, draft.doc.description, how, inputs, views, FUNCTIONS))
    return hashlib.sha256(said.encode()).hexdigest()


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
    yield ModelTest("unique_grain", _duplicates(model, grain), ("grain",), unique=draft.doc.grain)
    for column, doc in draft.doc.columns.items():
        name, where = identifier(column), ("columns", column)
        if doc.unique:
            yield ModelTest(f"unique_{column}", _duplicates(model, name), where, unique=(column,))
        if doc.not_null:
            yield _test_of_rows(f"not_null_{column}", model, f"{name} IS NULL", where)
        if doc.accepted_values:
            values = ", ".join(literal(v) for v in doc.accepted_values)
            yield _test_of_rows(f"accepted_values_{column}", model, f"{name} NOT IN ({values})", where)
        if doc.relationship:
            other, key = identifier(doc.relationship.to), identifier(doc.relationship.column)
            breaks = f"{name} IS NOT NULL AND {name} NOT IN (SELECT {key} FROM {other} WHERE {key} IS NOT NULL)"
            yield _test_of_rows(f"relationship_{column}", model, breaks, (*where, "relationship"))
    for number, assertion in enumerate(draft.doc.assertions):
        yield ModelTest(assertion.name, assertion.sql.strip(), ("assertions", number))


def _test_of_rows(name: str, model: str, breaks: str, where: tuple[str | int, ...]) -> ModelTest:
    return ModelTest(name, f"SELECT * FROM {model} WHERE {breaks}", where, breaks=breaks)


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
