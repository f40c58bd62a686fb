"""Checks requests and answers against a vendor's published OpenAPI document.

The documents are other people's and live outside the repository (PSA_ERP_CONTRACTS); a test that needs one skips
where the folder is absent. Two habits of generated documents are put right, since the live services are otherwise:

- A Java enum comes out as an object with one property a constant; on the wire it is a string.
- OpenAPI 3.0 documents leave `nullable` out; on the wire a value that is not set is null. Nulls are ignored there.
"""

import datetime as dt
import functools
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker

FOLDER = Path(os.environ.get("PSA_ERP_CONTRACTS", Path(__file__).parents[3] / "shared" / "contracts"))
FORMATS = FormatChecker()


@FORMATS.checks("date-time", raises=ValueError)
def _is_instant(value: object) -> bool:
    return not isinstance(value, str) or dt.datetime.fromisoformat(value).tzinfo is not None


@FORMATS.checks("int32")
def _is_int32(value: object) -> bool:
    return not isinstance(value, int) or -(2**31) <= value < 2**31


class ApiDocument:
    """One vendor's document."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._drops_nulls = str(spec["openapi"]).startswith("3.0")
        schemas = spec["components"]["schemas"]
        for name, schema in schemas.items():
            constants = _java_enum(schema)
            if constants:
                schemas[name] = {"type": "string", "enum": constants}

    @property
    def schemas(self) -> dict[str, Any]:
        """The document's schemas by name."""
        return self._spec["components"]["schemas"]

    def check_answer(self, method: str, path: str, status: int, body: Any, *, items: str | None = None) -> None:
        """Fail unless `body` fits the answer that the document gives for `path` as it writes it.

        `items` names the schema of a list's items where the document names only their common base.
        """
        responses = self._spec["paths"][path][method.lower()]["responses"]
        assert str(status) in responses, f"{method} {path} documents {sorted(responses)}, not {status}"
        content = responses[str(status)].get("content")
        if content is None:
            assert body is None, f"{method} {path} documents no body for {status}"
            return
        schema = next(content[kind]["schema"] for kind in ("application/json", "*/*") if kind in content)
        self.check(schema if items is None else {**schema, "items": _ref(items)}, body)

    def check_request(self, method: str, path: str, body: Any) -> None:
        """Fail unless `body` is one that the operation documents."""
        self.check(
            self._spec["paths"][path][method.lower()]["requestBody"]["content"]["application/json"]["schema"], body
        )

    def check(self, schema: dict[str, Any] | str, body: Any) -> None:
        """Fail with the first places at which `body` does not fit the schema (or the schema of that name)."""
        wanted = _ref(schema) if isinstance(schema, str) else schema
        validator = Draft202012Validator({**wanted, "components": self._spec["components"]}, format_checker=FORMATS)
        errors = [
            f"{e.json_path}: {e.message[:200]}"
            for e in validator.iter_errors(_without_nulls(body) if self._drops_nulls else body)
        ]
        assert not errors, "\n".join(errors[:5])

    def undocumented(self, schema: str, body: dict[str, Any]) -> set[str]:
        """The fields of `body` that the schema of that name does not have."""
        return set(body) - set(self.schemas[schema]["properties"])


@functools.cache
def load(name: str) -> ApiDocument:
    """The document of that file name, read once a session (the largest takes two seconds)."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"the vendor's document {name} is not in {FOLDER}; set PSA_ERP_CONTRACTS")
    text = path.read_bytes()
    return ApiDocument(json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=yaml.CSafeLoader))


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _java_enum(schema: dict[str, Any]) -> list[str] | None:
    for name, rule in schema.get("properties", {}).items():
        if name in rule.get("enum", ()):
            return list(rule["enum"])
    return None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(v) for v in value]
    return value
