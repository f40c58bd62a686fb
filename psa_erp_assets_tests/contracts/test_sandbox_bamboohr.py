"""What the HR sandbox answers, against BambooHR's own OpenAPI document."""

import datetime as dt

import httpx
import pytest

from psa_erp_assets_tests.support.openapi import load

EMPLOYEES = "/api/v1/employees"


@pytest.fixture(scope="module")
def api():
    return load("bamboohr.yaml")


@pytest.fixture
def client(sandbox):
    with httpx.Client(base_url=sandbox.bamboohr_url, auth=(sandbox.keys.bamboohr, "x"), trust_env=False) as client:
        yield client


@pytest.fixture(autouse=True)
def fresh(sandbox):
    yield
    sandbox.control.reset()


@pytest.mark.parametrize(
    ("path", "url"),
    [
        (EMPLOYEES, f"{EMPLOYEES}?fields=workEmail,divisionName,departmentName"),
        (EMPLOYEES, f"{EMPLOYEES}?page[limit]=5"),
        (f"{EMPLOYEES}/directory", f"{EMPLOYEES}/directory"),
        (
            f"{EMPLOYEES}/{{id}}",
            f"{EMPLOYEES}/4101?fields=firstName,workEmail,employeeNumber,division,department,status",
        ),
        (f"{EMPLOYEES}/{{id}}/tables/{{table}}", f"{EMPLOYEES}/all/tables/compensation"),
        (f"{EMPLOYEES}/{{id}}/tables/{{table}}", f"{EMPLOYEES}/4101/tables/jobInfo"),
        (f"{EMPLOYEES}/changed", f"{EMPLOYEES}/changed?since=2000-01-01T00:00:00Z"),
        (
            f"{EMPLOYEES}/changed/tables/{{table}}",
            f"{EMPLOYEES}/changed/tables/compensation?since=2000-01-01T00:00:00Z",
        ),
        ("/api/v1/meta/fields", "/api/v1/meta/fields"),
    ],
)
def test_reads_fit_the_document(api, client, path, url):
    """A connector that is built on the document must read the sandbox as it would read the vendor."""
    answer = client.get(url)
    api.check_answer("GET", path, answer.status_code, answer.json())
    assert answer.json()


def test_paging_finds_every_employee_once(client, company):
    """A cursor that skips would lose a person, and with them their cost."""
    found, after = [], {}
    while True:
        body = client.get(EMPLOYEES, params={"page[limit]": "7", **after}).raise_for_status().json()
        found += [e["employeeId"] for e in body["data"]]
        if body["meta"]["page"]["nextCursor"] is None:
            break
        after = {"page[after]": body["meta"]["page"]["nextCursor"]}
    assert found == [p.hr_id for p in company.people if p.hr_id]
    assert body["meta"]["total"] == len(found)


def test_employees_link_to_psa_users_by_work_email(client, company):
    """The e-mail is the only key that HR and the PSA share."""
    for person in company.people[:5]:
        row = client.get(f"{EMPLOYEES}/{person.hr_id}?fields=workEmail,employeeNumber,division,location").json()
        assert (row["workEmail"], row["employeeNumber"]) == (person.email, person.code)
        assert row["division"] == row["location"] == person.legal_entity


def test_somebody_has_no_compensation(client, company):
    """An employee without pay has no cost rate, and must be seen as such and not as free."""
    unpaid = [p for p in company.people if p.hr_id and not p.compensation]
    assert unpaid
    assert all(client.get(f"{EMPLOYEES}/{p.hr_id}/tables/compensation").json() == [] for p in unpaid)


def test_recorded_salary_appears(client, company, people):
    """HR adds the pay; what was held for it can go on."""
    unpaid = next(p for p in company.people if p.hr_id and not p.compensation)
    people.record_salary(unpaid.hr_id, dt.date(2026, 1, 1), "98000.50", "USD")
    rows = client.get(f"{EMPLOYEES}/{unpaid.hr_id}/tables/compensation").json()
    assert [(r["startDate"], r["rate"]) for r in rows] == [("2026-01-01", {"value": "98000.50", "currency": "USD"})]
    changed = client.get(f"{EMPLOYEES}/changed", params={"since": "2026-09-01T00:00:00Z"}).json()
    assert list(changed["employees"]) == [unpaid.hr_id]


@pytest.mark.parametrize(
    ("url", "auth", "status"),
    [
        (f"{EMPLOYEES}/9999", None, 404),
        (f"{EMPLOYEES}/4101/tables/shoes", None, 404),
        ("/api/v1/nothing", None, 404),
        (f"{EMPLOYEES}/changed", None, 400),
        (f"{EMPLOYEES}?page[limit]=2501", None, 400),
        (f"{EMPLOYEES}?page[after]=x", None, 400),
        (EMPLOYEES, ("wrong", "x"), 401),
    ],
)
def test_errors(api, client, url, auth, status):
    """A refusal that looks like an empty list would delete everybody."""
    answer = client.get(url, **({"auth": auth} if auth else {}))
    assert answer.status_code == status
    if status == 400:
        api.check("Employee-StringCodeErrorResponse-V1", answer.json())
