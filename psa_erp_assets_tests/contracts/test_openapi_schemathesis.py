"""Every operation of the console's API, asked with whatever its description allows."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance
from sqlalchemy import Engine

from psa_erp_assets_tests.support.console import make_app, served

EXAMPLES = 10


@pytest.mark.timeout(600)
def test_no_server_error_and_no_answer_that_is_not_described(store_engine: Engine) -> None:
    """A 5xx is ours whatever was asked; a status that is not described is one that no client is prepared for."""
    failed: dict[str, str] = {}
    with served(make_app(store_engine)) as address:
        schema = schemathesis.openapi.from_url(f"{address}/api/openapi.json")
        for found in schema.get_all_operations():
            operation = found.ok()
            try:
                _ask(operation)
            except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - all are asked before the test fails
                failed[operation.label] = _said(error)
    assert failed == {}


def _ask(operation: Any) -> None:
    @seed(1)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=[not_a_server_error, status_code_conformance])

    check()


def _said(error: BaseException) -> str:
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
    return "; ".join(" ".join(str(one).split())[:200] for one in inner)
