"""Reading BambooHR's API v1.

Documentation: https://documentation.bamboohr.com/reference, operations "List Employees" (list-employees), "Get
Employee" (get-employee) and "Get Employee Table Data" (get-employee-table-data); https://documentation.bamboohr.com/docs
"Getting Started with the API", section "Authentication": HTTP basic, the API key as the user name and anything
as the password.

The list gives ids but not the employee number, which only "Get Employee" does; so that is asked once an employee.
Fields that the key may not see are left out of an answer without a word.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any

from psa_erp_assets.adapters.http import Auth, JsonApi, SourceAnswerError, expect_list, expect_object, path_segment

EMPLOYEE_FIELDS = (
    "employeeNumber",
    "firstName",
    "lastName",
    "workEmail",
    "division",
    "department",
    "jobTitle",
    "status",
)


def bamboohr_auth(api_key: Callable[[], str]) -> Auth:
    """HTTP basic authentication with an API key; `api_key` is asked at each request and kept nowhere."""
    return lambda: {"Authorization": "Basic " + base64.b64encode(f"{api_key()}:x".encode()).decode()}


class BambooHrClient:
    """One company account. Each method raises a SourceError when there was no usable answer; none returns a part.

    `page_size` is at most 100: the description names that and 2500, and 100 keeps to both.
    """

    def __init__(self, api: JsonApi, *, page_size: int = 100) -> None:
        self._api, self._page_size = api, page_size

    def employees(self) -> list[dict[str, Any]]:
        """Everybody, those who have left included, with EMPLOYEE_FIELDS (GetEmployeeResponse).

        Somebody who is deleted between the list and the look at them is left out.
        """
        found = (self.employee(employee_id) for employee_id in self.employee_ids())
        return [employee for employee in found if employee is not None]

    def compensation(self) -> list[dict[str, Any]]:
        """All rows of the compensation table of all employees, in no order (EmployeeTableRow)."""
        path = "/api/v1/employees/all/tables/compensation"
        return expect_list(self._api.get(path), path)

    def employee(self, employee_id: str) -> dict[str, Any] | None:
        """One employee, as `employees` gives them; None if there is nobody of this id."""
        path = f"/api/v1/employees/{path_segment(employee_id)}"
        answer = self._api.get_or_none(path, {"fields": ",".join(EMPLOYEE_FIELDS)})
        return None if answer is None else expect_object(answer, path)

    def employee_ids(self) -> list[str]:
        """The ids of everybody, those who have left included."""
        path = "/api/v1/employees"
        found: list[str] = []
        seen: set[str] = set()
        after: str | None = None
        while True:
            cursor = {} if after is None else {"page[after]": after}
            answer = expect_object(self._api.get(path, {"page[limit]": str(self._page_size), **cursor}), path)
            found += [_employee_id(item, path) for item in expect_list(answer.get("data"), path)]
            after = _next_cursor(answer, path)
            if after is None:
                return found
            if after in seen:
                raise SourceAnswerError("GET", path, "repeats its paging cursor", status=200)
            seen.add(after)


def _employee_id(item: Mapping[str, Any], path: str) -> str:
    value = item.get("employeeId")
    if not isinstance(value, str) or not value:
        raise SourceAnswerError("GET", path, "answered with an employee that has no id", status=200)
    return value


def _next_cursor(answer: Mapping[str, Any], path: str) -> str | None:
    """meta.page.nextCursor: required by the API's description, null on the last page."""
    page = expect_object(expect_object(answer.get("meta"), path).get("page"), path)
    if "nextCursor" not in page:
        raise SourceAnswerError("GET", path, "does not say whether there is a next page", status=200)
    cursor = page["nextCursor"]
    return None if cursor is None else str(cursor)
