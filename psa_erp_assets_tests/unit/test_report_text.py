"""How values of reports are written, and how they moved since the period before."""

from decimal import Decimal
from typing import Any, Literal

import pytest

from psa_erp_assets.services.report_model import Figure, Unit, Value
from psa_erp_assets.services.report_sections.building import named
from psa_erp_assets.services.report_text import Moved, moved


@pytest.mark.parametrize(
    ("unit", "good", "value", "previous", "expected"),
    [
        ("money", "up", Decimal(90), Decimal(100), Moved(direction=-1, said="10.0 %", good=False)),
        ("money", "down", Decimal(90), Decimal(100), Moved(direction=-1, said="10.0 %", good=True)),
        ("money", None, Decimal(-50), Decimal(-100), Moved(direction=1, said="50.0 %", good=None)),
        ("money", "up", Decimal(5), Decimal(0), Moved(direction=1, said="5.00 EUR", good=True)),
        ("number", "down", 4, 3, Moved(direction=1, said="33.3 %", good=False)),
        ("number", "down", 4, 0, Moved(direction=1, said="4", good=False)),
        ("number", "down", 4, 4, Moved(direction=0, said="unchanged", good=None)),
        ("share", "up", Decimal("0.3003"), Decimal("0.3001"), Moved(direction=0, said="unchanged", good=None)),
        ("share", "up", Decimal("0.35"), Decimal("0.3"), Moved(direction=1, said="5.0 points", good=True)),
        ("share", "up", None, Decimal("0.3"), None),
        ("share", "up", Decimal("0.3"), None, None),
    ],
)
def test_a_move_is_told_by_its_size_and_whether_it_is_welcome(
    *, unit: Unit, good: Literal["up", "down"] | None, value: Any, previous: Any, expected: Moved | None
) -> None:
    """A fall would be shown as good, or a whole number would be divided into a float that cannot be written."""
    one = Value(value=value, previous=previous, currency="EUR" if unit == "money" else None)
    figure = Figure(name="x", label="X", unit=unit, values=[one], address="", good=good)
    assert moved(figure, one) == expected


def test_only_members_of_the_same_name_have_their_ids_beside_it() -> None:
    """Rows of one name could not be told apart; a contract with amounts in two currencies is still one."""
    rows = [
        {"member": "C1", "name": "Audit", "currency": "EUR"},
        {"member": "C1", "name": "Audit", "currency": "USD"},
        {"member": "C2", "name": "Tax", "currency": "EUR"},
        {"member": "C3", "name": "Tax", "currency": "EUR"},
        {"member": None, "name": None, "currency": "EUR"},
    ]
    assert [row["name"] for row in named(rows)] == ["Audit", "Audit", "Tax (C2)", "Tax (C3)", "not assigned"]
