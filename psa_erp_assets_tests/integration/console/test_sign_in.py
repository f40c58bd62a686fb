"""Signing in and out with a password, one-time links, tokens, and what a proxy asks."""

import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import httpx
import pytest
from sqlalchemy import Engine, select

from psa_erp_assets.adapters.store import schema_access, schema_audit
from psa_erp_assets.console.gate import AccessSetUp
from psa_erp_assets.domain.access import Grant, Permission, Role
from psa_erp_assets.services import accounts, refusals
from psa_erp_assets.services.accounts import THIS_MACHINE, AccessRefusedError
from psa_erp_assets_tests.support.access import ENTITIES, LASTS, NOW, PASSWORD, add_account, add_token, csrf_of, sign_in
from psa_erp_assets_tests.support.console import ENTRY, KEY, TENANT, fill, make_app, served

REFUSED = "The sign-in name or the password is not right."


@dataclass(slots=True)
class Clock:
    """Time that passes when a test says so."""

    now: dt.datetime = NOW

    def __call__(self) -> dt.datetime:
        return self.now

    def pass_(self, **by: int) -> None:
        self.now += dt.timedelta(**by)


@dataclass(slots=True)
class Place:
    """A console at which people sign in, its store and its clock."""

    address: str
    engine: Engine
    clock: Clock


@pytest.fixture
def place(store_engine: Engine) -> Iterator[Place]:
    """A console where Ada operates everything."""
    clock = Clock()
    add_account(store_engine, "ada", [Grant(Role.OPERATOR)])
    app = make_app(store_engine, gate=None, clock=clock, access=AccessSetUp(entities=ENTITIES))
    with served(app) as address:
        yield Place(address=address, engine=store_engine, clock=clock)


def is_in(browser: httpx.Client) -> bool:
    """Whether somebody is signed in with a browser."""
    return browser.get("/account").status_code == 200


def test_signing_in_and_out(place: Place) -> None:
    """A person cannot come in, stays out of what they asked for, or cannot leave."""
    browser, answer = sign_in(place.address, " Ada ", next="/postings?state=ready")
    with closing(browser):
        assert (answer.status_code, answer.headers["location"]) == (303, "/postings?state=ready")
        cookie = answer.headers.get_list("set-cookie")[0]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        page = browser.get("/account")
        assert page.status_code == 200
        kept = browser.cookies["psa_erp"]
        out = browser.post("/sign-out", data={"csrf": csrf_of(page)})
        assert out.headers["location"] == "/sign-in"
        assert not is_in(browser)
        # The secret itself is of no use any more, not just forgotten by the browser.
        browser.cookies.set("psa_erp", kept)
        assert not is_in(browser)


def told(place: Place, kind: str) -> list[tuple[str, dict[str, object]]]:
    """Subjects and details of the audit entries of a kind, in order."""
    entry = schema_audit.audit_entry.c
    with place.engine.connect() as connection:
        rows = connection.execute(select(entry.subject, entry.detail).where(entry.kind == kind).order_by(entry.id))
        return [(row.subject, row.detail) for row in rows]


def test_failed_sign_ins_and_sign_outs_are_in_the_log(place: Place) -> None:
    """Nobody could tell afterwards who was tried from where, and when somebody left."""
    for _ in range(7):
        browser, _ = sign_in(place.address, "ada", "wrong password, again")
        browser.close()
    browser, _ = sign_in(place.address, "my secret pass phrase", "x")
    browser.close()
    failed = told(place, "access.sign_in_failed")
    assert [(subject, detail["closes_for_a_while"]) for subject, detail in failed] == [
        ("ada", False),
        ("ada", True),
        ("unknown", False),
    ]
    with place.engine.connect() as connection:
        everything = str(connection.execute(select(schema_audit.audit_entry)).all())
        values = connection.execute(select(schema_audit.audit_personal.c.value)).scalars().all()
    assert "pass phrase" not in everything, "what was typed as the name may be a password"
    assert set(values) == {"127.0.0.1"}
    place.clock.pass_(minutes=16)
    browser, _ = sign_in(place.address, "ada")
    with closing(browser):
        browser.post("/sign-out", data={"csrf": csrf_of(browser.get("/account"))})
    assert told(place, "access.signed_out") == [("ada", {"browsers": 1})]


def test_whoever_is_refused_without_end_does_not_fill_the_log(place: Place) -> None:
    """An attacker with many names or addresses could bury everything else in the log, or fill the disk."""
    for number in range(refusals.MOST + 30):
        kind, detail = "access.sign_in_failed", {"number": number}
        refusals.note_refusal(place.engine, TENANT, kind=kind, subject="unknown", detail=detail, now=place.clock())
    assert len(told(place, "access.sign_in_failed")) == refusals.MOST
    assert [subject for subject, _ in told(place, "access.sign_in_failed.more")] == ["everybody"]
    place.clock.pass_(minutes=61)
    refusals.note_refusal(
        place.engine, TENANT, kind="access.sign_in_failed", subject="ada", detail={}, now=place.clock()
    )
    assert len(told(place, "access.sign_in_failed")) == refusals.MOST + 1


def test_a_token_that_is_of_no_use_any_more_is_told_of_once(place: Place) -> None:
    """Nobody would see that somebody still tries a token that was revoked, or guesses at its secret."""
    token = add_token(place.engine, "ada")
    prefix = token.removeprefix("psaerp_").partition("_")[0]
    tried = (token + "x", token, "psaerp_nobody00_x")
    accounts.revoke_token(place.engine, TENANT, prefix, actor=THIS_MACHINE, now=place.clock())
    with httpx.Client(base_url=place.address) as client:
        for one in (*tried, *tried):
            assert client.get("/api/status", headers={"Authorization": f"Bearer {one}"}).status_code == 401
        assert [(s, d["why"]) for s, d in told(place, "access.token_refused")] == [
            (f"token:{prefix}", "another secret")
        ]
        place.clock.pass_(minutes=61)
        client.get("/api/status", headers={"Authorization": f"Bearer {token}"})
    assert [d["why"] for _, d in told(place, "access.token_refused")] == ["another secret", "revoked"]


def test_what_a_token_is_denied_is_told_of_once_an_hour_with_how_often(place: Place) -> None:
    """Nobody would see that a token tries what it may not, or its owner's program could fill the log with that."""
    token = add_token(place.engine, "ada", [Permission.VIEW], ["UK"])
    subject = f"token:{token.removeprefix('psaerp_').partition('_')[0]}"
    with place.engine.begin() as connection:
        fill(connection)
    with httpx.Client(base_url=place.address, headers={"Authorization": f"Bearer {token}"}) as client:
        for _ in range(20):
            assert client.post("/api/v1/mappings/merge", json={}).status_code == 403
        for path in ("/api/inbox", f"/api/postings/{KEY}", "/account"):
            assert client.get(path).status_code == 403, path
        first = told(place, "access.denied")
        assert [(s, d["permission"]) for s, d in first] == [(subject, "steward"), (subject, "view"), (subject, None)]
        assert [d["asked"] for _, d in first] == ["POST /api/v1/mappings/merge", "GET /api/inbox", "GET /account"]
        assert told(place, "access.denied.more") == []
        place.clock.pass_(minutes=61)
        assert client.get(f"/api/postings/{KEY}").status_code == 403
    assert told(place, "access.denied")[-1][1]["legal_entity"] == "DE"
    assert len(told(place, "access.denied")) == 4
    assert {(s, d["permission"], d["times"]) for s, d in told(place, "access.denied.more")} == {
        (subject, "steward", 19),
        (subject, "view", 1),
    }
    with place.engine.connect() as connection:
        everything = str(connection.execute(select(schema_audit.audit_entry)).all())
    assert token.rpartition("_")[2] not in everything


def test_no_secret_is_in_the_store(place: Place) -> None:
    """Whoever reads a copy of the database can sign in with it."""
    browser, _ = sign_in(place.address, "ada")
    with closing(browser):
        secrets = (browser.cookies["psa_erp"], PASSWORD, add_token(place.engine, "ada").rpartition("_")[2])
    with place.engine.connect() as connection:
        for table in (schema_access.account, schema_access.signed_in, schema_access.api_token):
            rows = str(connection.execute(select(table)).all())
            assert not [secret for secret in secrets if secret in rows]
            assert "$argon2id$" in rows or table is not schema_access.account


def test_a_refusal_tells_nothing_about_accounts(place: Place) -> None:
    """Somebody finds out which accounts there are."""
    add_account(place.engine, "root", [Grant(Role.ADMIN)])
    add_account(place.engine, "gone")
    accounts.disable_account(place.engine, TENANT, "gone", actor=THIS_MACHINE, now=NOW)
    accounts.add_account(place.engine, TENANT, "new", "New", [], actor=THIS_MACHINE, now=NOW, lasts=LASTS)
    texts = set()
    for login, password in (("ada", "wrong"), ("nobody", "wrong"), ("gone", PASSWORD), ("new", ""), ("\x00", "x")):
        browser, answer = sign_in(place.address, login, password or "x")
        browser.close()
        assert answer.status_code == 401
        assert REFUSED in answer.text
        texts.add(answer.text.replace(f'value="{login}"', "").partition('name="csrf"')[0])
    assert len(texts) == 1


def test_guessing_is_stopped_and_the_owner_elsewhere_is_not(place: Place) -> None:
    """A password is guessed by trying, or whoever tries keeps its owner out for good."""
    for login in ("ada", "nobody"):
        codes = []
        for number in range(7):
            browser, answer = sign_in(place.address, login, f"guess {number}")
            browser.close()
            codes.append(answer.status_code)
        assert codes == [401] * 5 + [429] * 2
        assert answer.headers["retry-after"] == "900"
    browser, answer = sign_in(place.address, "ada")
    browser.close()
    # Not even the right one, or guessing would go on by watching for it.
    assert answer.status_code == 429
    place.clock.pass_(minutes=16)
    browser, answer = sign_in(place.address, "ada")
    browser.close()
    assert answer.status_code == 303


def test_many_names_from_one_address_are_stopped(place: Place) -> None:
    """One password is tried with every name of a list."""
    codes = []
    for number in range(32):
        browser, answer = sign_in(place.address, f"name{number}", "Summer2026!!")
        browser.close()
        codes.append(answer.status_code)
    assert codes == [401] * 30 + [429] * 2


@pytest.mark.parametrize("passes", [{"minutes": 8 * 60}, {"days": 8}])
def test_nobody_stays_signed_in_for_good(place: Place, passes: dict[str, int]) -> None:
    """A browser that was left alone is open to whoever finds it."""
    browser, _ = sign_in(place.address, "ada")
    with closing(browser):
        assert is_in(browser)
        if "days" in passes:
            # Somebody who is there all the time, and yet must sign in again at last.
            for _ in range(passes["days"] * 4):
                place.clock.pass_(hours=6)
                last = is_in(browser)
            assert not last
        else:
            place.clock.pass_(minutes=passes["minutes"] - 1)
            assert is_in(browser)
            place.clock.pass_(**passes)
            assert not is_in(browser)


def test_signing_in_again_makes_a_new_secret(place: Place) -> None:
    """A secret that somebody has put into a browser becomes that of whoever signs in there."""
    browser, _ = sign_in(place.address, "ada")
    with closing(browser):
        first = browser.cookies["psa_erp"]
        csrf = csrf_of(browser.get("/sign-in"))
        browser.post("/sign-in", data={"csrf": csrf, "login": "ada", "password": PASSWORD})
        assert browser.cookies["psa_erp"] != first
    with httpx.Client(base_url=place.address, cookies={"psa_erp": first}) as other:
        assert not is_in(other)


@pytest.mark.parametrize("away", ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example", "x"])
def test_a_link_to_sign_in_does_not_lead_away(place: Place, away: str) -> None:
    """Somebody signs in by a link of another site and lands on a page that looks like this one."""
    browser, answer = sign_in(place.address, "ada", next=away)
    browser.close()
    assert answer.headers["location"] == "/"


def test_another_sites_form_signs_nobody_in(place: Place) -> None:
    """A page of another site signs somebody into its own account, and they work there."""
    with httpx.Client(base_url=place.address) as browser:
        body = {"csrf": "made up", "login": "ada", "password": PASSWORD}
        assert browser.post("/sign-in", data=body).status_code == 403
        csrf = csrf_of(browser.get("/sign-in"))
        for headers in ({"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = browser.post("/sign-in", data=body | {"csrf": csrf}, headers=headers)
            assert answer.status_code == 403
        assert "psa_erp" not in browser.cookies


def test_over_https_cookies_are_for_this_host_alone(store_engine: Engine) -> None:
    """A cookie travels readable, or a neighbor of the host sets it."""
    add_account(store_engine, "ada")
    set_up = AccessSetUp(url="https://erp.example.com:443")
    with served(make_app(store_engine, gate=None, clock=lambda: NOW, access=set_up)) as address:
        first = httpx.get(f"{address}/sign-in")
        form = first.headers["set-cookie"]
        assert form.startswith("__Host-psa_erp_form=")
        assert "Secure" in form
        headers = {"Cookie": form.partition(";")[0]}
        body = {"csrf": csrf_of(first), "login": "ada", "password": PASSWORD}
        answer = httpx.post(f"{address}/sign-in", data=body, headers=headers)
        assert answer.headers.get_list("set-cookie")[0].startswith("__Host-psa_erp=")


def test_the_first_link_makes_the_first_administrator_once(store_engine: Engine) -> None:
    """Nobody can begin, or a link that was printed long ago makes a second administrator."""
    old = accounts.first_link(store_engine, TENANT, now=NOW, lasts=LASTS)
    secret = accounts.first_link(store_engine, TENANT, now=NOW, lasts=LASTS)
    with (
        served(make_app(store_engine, gate=None, clock=lambda: NOW)) as address,
        httpx.Client(base_url=address) as browser,
    ):
        assert browser.get(f"/link/{old}").status_code == 410
        csrf = csrf_of(browser.get(f"/link/{secret}"))
        typed = {"csrf": csrf, "login": "Ada@Example.com", "name": "Ada", "password": PASSWORD, "again": PASSWORD}
        for wrong in ({"again": "another one"}, {"password": "short", "again": "short"}, {"login": "a b"}):
            assert browser.post(f"/link/{secret}", data=typed | wrong).status_code == 422
        assert browser.post(f"/link/{secret}", data=typed | {"csrf": "x"}).status_code == 403
        assert browser.post(f"/link/{secret}", data=typed).status_code == 303
        page = browser.get("/people")
        assert "ada@example.com" in page.text
        assert browser.get(f"/link/{secret}").status_code == 410
    assert accounts.first_link(store_engine, TENANT, now=NOW, lasts=LASTS) is None


def test_a_link_ends_with_time_and_signs_out_every_browser(place: Place) -> None:
    """A link from an old message sets a password, or whoever knew the old one stays in."""
    browser, _ = sign_in(place.address, "ada")
    with closing(browser):
        options = {"actor": THIS_MACHINE, "now": NOW, "lasts": LASTS}
        secret = accounts.reset_link(place.engine, TENANT, "ada", **options)  # type: ignore[arg-type]  # as named
        with pytest.raises(AccessRefusedError):
            accounts.use_link(
                place.engine, TENANT, secret, login="", name="", password="another pass phrase", now=NOW + LASTS
            )
        accounts.use_link(place.engine, TENANT, secret, login="", name="", password="another pass phrase", now=NOW)
        assert not is_in(browser)
    browser, answer = sign_in(place.address, "ada")
    browser.close()
    assert answer.status_code == 401


def test_one_sees_and_ends_ones_own_browsers(place: Place) -> None:
    """Somebody cannot end what they left open elsewhere, or can end another person's."""
    add_account(place.engine, "bob")
    here, _ = sign_in(place.address, "ada")
    there, _ = sign_in(place.address, "ada")
    bobs, _ = sign_in(place.address, "bob")
    with closing(here), closing(there), closing(bobs):
        page = here.get("/account")
        assert "Test browser" in page.text
        with place.engine.connect() as connection:
            ids = dict(connection.execute(select(schema_access.signed_in.c.id, schema_access.signed_in.c.login)).all())
        for sign_in_id in sorted(ids)[1:]:
            here.post(f"/account/browsers/{sign_in_id}/sign-out", data={"csrf": csrf_of(page)})
        assert (is_in(here), is_in(there), is_in(bobs)) == (True, False, True)


def test_a_token_may_no_more_than_its_scopes_and_its_owner(place: Place) -> None:
    """A token for reading writes, or goes on after its owner has lost the role, after its end or its revocation."""
    reading = add_token(place.engine, "ada", [Permission.VIEW])
    asking = add_token(place.engine, "ada", [Permission.ADMINISTER])

    def status(token: str, path: str = "/api/status", method: str = "GET") -> int:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        content = None if method == "GET" else b"{}"
        return httpx.request(method, f"{place.address}{path}", headers=headers, content=content).status_code

    assert status(reading) == 200
    assert status(reading, "/api/v1/billable-work-items", "POST") == 403
    assert status(add_token(place.engine, "ada", [Permission.SUBMIT]), "/api/v1/billable-work-items", "POST") == 422
    assert status(asking, "/people") == 403
    accounts.revoke_role(place.engine, TENANT, "ada", Grant(Role.OPERATOR), actor=THIS_MACHINE, now=NOW)
    assert status(reading) == 403
    accounts.grant_role(place.engine, TENANT, "ada", Grant(Role.VIEWER), actor=THIS_MACHINE, now=NOW)
    assert status(reading) == 200
    place.clock.pass_(days=90)
    assert status(reading) == 401
    place.clock.now = NOW
    accounts.revoke_token(place.engine, TENANT, reading.split("_")[1], actor=THIS_MACHINE, now=NOW)
    assert status(reading) == 401


def test_one_legal_entity_does_not_show_another_ones_rows(place: Place) -> None:
    """A viewer of the UK sees what is of the US or of Germany, in a list or by its address."""
    with place.engine.begin() as connection:
        fill(connection)
    add_account(place.engine, "uk", [Grant(Role.VIEWER, "UK")])
    add_account(place.engine, "de", [Grant(Role.VIEWER, "DE")])
    everything = add_token(place.engine, "ada", [Permission.VIEW])
    narrow = add_token(place.engine, "ada", [Permission.VIEW], ["UK"])

    def read(path: str, token: str) -> httpx.Response:
        return httpx.get(f"{place.address}{path}", headers={"Authorization": f"Bearer {token}"})

    for token in (add_token(place.engine, "uk", [Permission.VIEW]), narrow):
        assert read("/api/postings", token).json()["total"] == 0
        assert read("/api/postings?entity=DE", token).json()["total"] == 0
        assert read("/api/postings", token).json()["legal_entities"] == []
        # Trouble of no entity, such as an unknown employee, is for those who may see all of them.
        assert {i["legal_entity"] for i in read("/api/exceptions", token).json()} <= {"UK"}
        assert {p["legal_entity"] for p in read("/api/status", token).json()["dirty_partitions"]} <= {"UK"}
        assert {i["legal_entity"] for i in read("/api/v1/billable-work-items", token).json()["items"]} == {"UK"}
        for path in (f"/api/postings/{KEY}", f"/api/trace/{ENTRY}", "/api/inbox", f"/postings/{KEY}", "/inbox"):
            assert read(path, token).status_code == 403, path
    german = add_token(place.engine, "de", [Permission.VIEW])
    assert read(f"/api/postings/{KEY}", german).status_code == 200
    assert read(f"/api/trace/{ENTRY}", german).status_code == 200
    assert {p["legal_entity"] for p in read("/api/postings", german).json()["postings"]} == {"DE"}
    assert read("/api/postings", everything).json()["total"] == 62
    assert read("/api/inbox", everything).status_code == 200


def test_a_proxy_is_told_who_it_is(place: Place) -> None:
    """Dagster's UI opens to somebody who has not signed in or may not operate, or to nobody."""
    add_account(place.engine, "viewer")
    check = f"{place.address}/auth/check"
    assert httpx.get(check).status_code == 401
    browser, _ = sign_in(place.address, "ada")
    with closing(browser):
        answer = browser.get("/auth/check", params={"permission": "operate"})
        assert answer.status_code == 204
        assert (answer.headers["x-auth-user"], answer.headers["x-auth-roles"]) == ("ada", "operator")
    browser, _ = sign_in(place.address, "viewer")
    with closing(browser):
        assert browser.get("/auth/check").status_code == 204
        assert browser.get("/auth/check", params={"permission": "operate"}).status_code == 403


def test_the_only_administrator_stays(place: Place) -> None:
    """An administrator shuts everybody out, themselves included."""
    add_account(place.engine, "root", [Grant(Role.ADMIN)])
    for change in (
        lambda: accounts.disable_account(place.engine, TENANT, "root", actor=THIS_MACHINE, now=NOW),
        lambda: accounts.revoke_role(place.engine, TENANT, "root", Grant(Role.ADMIN), actor=THIS_MACHINE, now=NOW),
    ):
        with pytest.raises(AccessRefusedError, match="only administrator"):
            change()


def test_an_administrator_adds_somebody_on_the_pages(place: Place) -> None:
    """People can be added at the command line alone, or the link that the page shows does not work."""
    add_account(place.engine, "root", [Grant(Role.ADMIN)])
    browser, _ = sign_in(place.address, "root")
    with closing(browser):
        csrf = csrf_of(browser.get("/people"))
        body = {"csrf": csrf, "login": "eve@example.com", "name": "Eve", "role": "operator", "entity": "UK"}
        answer = browser.post("/people", data=body)
        assert answer.status_code == 200
        link = answer.text.partition("/link/")[2].partition('"')[0]
        assert accounts.link_login(place.engine, TENANT, link, now=NOW) == "eve@example.com"
        assert "UK" in browser.get("/people").text
        for action, form in (
            ("grant", {"role": "approver", "entity": ""}),
            ("revoke", {"role": "operator", "entity": "UK"}),
            ("disable", {}),
            ("enable", {}),
        ):
            answer = browser.post(f"/people/eve@example.com/{action}", data={"csrf": csrf, **form})
            assert answer.status_code == 303, action
        assert browser.post("/people/eve@example.com/grant", data={"csrf": csrf, "role": "approver"}).status_code == 422
        assert browser.post("/people", data=body).status_code == 422
