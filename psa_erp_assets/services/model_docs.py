"""What there is to say of each SQL model, for people: its meaning, grain, columns, where they come from, its tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psa_erp_assets.adapters.sql_models import SqlModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDoc:
    """A column, its DuckDB type, its meaning and the columns (table.column) that its values come from."""

    name: str
    type: str
    description: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDoc:
    """A model. `used_by` are the models that read it, `sql` its one SELECT."""

    name: str
    layer: str
    description: str
    grain: tuple[str, ...]
    inputs: tuple[str, ...]
    used_by: tuple[str, ...]
    columns: tuple[ColumnDoc, ...]
    tests: tuple[str, ...]
    sql: str


def model_docs(models: Mapping[str, SqlModel], search: str = "") -> list[ModelDoc]:
    """All models, marts first, of which the text of the name, a column or a description has every word of `search`."""
    order = {"marts": 0, "intermediate": 1, "staging": 2}
    found = [_doc(model, models) for model in models.values()]
    words = search.casefold().split()
    return sorted((doc for doc in found if _has(doc, words)), key=lambda doc: (order[doc.layer], doc.name))


def _doc(model: SqlModel, models: Mapping[str, SqlModel]) -> ModelDoc:
    return ModelDoc(
        name=model.name,
        layer=model.layer.value,
        description=model.description,
        grain=model.grain,
        inputs=model.inputs,
        used_by=tuple(sorted(other.name for other in models.values() if model.name in other.inputs)),
        columns=tuple(
            ColumnDoc(
                name=column.name,
                type=column.type,
                description=column.description,
                sources=tuple(f"{table}.{name}" for table, name in model.column_lineage.get(column.name, ())),
            )
            for column in model.columns
        ),
        tests=tuple(test.name for test in model.tests),
        sql=model.sql,
    )


def _has(doc: ModelDoc, words: Sequence[str]) -> bool:
    texts = [doc.name, doc.description, *(f"{column.name} {column.description}" for column in doc.columns)]
    text = " ".join(texts).casefold()
    return all(word in text for word in words)
