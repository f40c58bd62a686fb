"""Settings: every mistake is named with its file, its line and what to write, and no secret shows."""

import datetime as dt
import shutil
import traceback
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from psa_erp_assets.domain.approval import ApprovalRule
from psa_erp_assets.domain.costing import CostPolicy
from psa_erp_assets.domain.decision import Mode
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.money import Money, Rounding
from psa_erp_assets.domain.plan import Action
from psa_erp_assets.domain.records import RateCardLine
from psa_erp_assets.domain.rollout import Rollout, RolloutStep
from psa_erp_assets.domain.shadow import GoLive
from psa_erp_assets.domain.terms import ContractKind
from psa_erp_assets.sandbox.company_master import ENTITIES
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.settings import CONFIG_FILES, REPOSITORY, ConfigError, Settings, load_settings, rate_card_lines

COMMITTED = REPOSITORY / "data" / "config"
SECRET = "hunter2-and-nothing-else"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A copy of the committed configuration, to make mistakes in."""
    return Path(shutil.copytree(COMMITTED, tmp_path / "config"))


def load(config: Path, **environ: str) -> Settings:
    return load_settings({"PSA_ERP_HOME": str(config.parent), "PSA_ERP_CONFIG": str(config)} | environ)


def change(config: Path, name: str, old: str, new: str) -> int:
    """Write `new` for the first `old` in a file; answers with the line of it."""
    path = config / f"{name}.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def problems(config: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(config)
    return [problem.replace(str(config) + "/", "") for problem in caught.value.problems]


def test_the_committed_configuration_is_valid() -> None:
    """The demo would not start."""
    settings = load_settings({})
    assert settings.entity_codes == ("US", "UK", "DE")
    assert settings.tenant == settings.company.tenant
    assert settings.policies.cost_rates.burden == Decimal("0.25")
    assert settings.connections.erp.rounding is Rounding.HALF_EVEN
    assert {path.stem for path in COMMITTED.glob("*.yaml")} >= set(CONFIG_FILES)


@pytest.mark.parametrize(
    ("name", "old", "new", "hint"),
    [
        ("company", "currency: GBP", "currency: pounds", "three capital letters"),
        ("company", "time_zone: Europe/London", "time_zone: Europe/Londom", "no time zone has this name"),
        ("company", "time_zone: Europe/London", "time_zone: ../zones", "no time zone has this name"),
        ("company", "country: GB", "country: Britain", "country"),
        ("company", "tenant: demo", "tennant: demo", "tennant"),
        ("connections", "kind: clockify", "kind: sundial", "clockify"),
        ("connections", "base_url: http://127.0.0.1:8070", "base_url: 127.0.0.1:8070", "base_url"),
        ("connections", "base_url: http://127.0.0.1:8070", "base_url: http://me:pw@127.0.0.1:8070", "base_url"),
        ("connections", "requests_per_second: 50", "requests_per_second: 0", "greater than 0"),
        ("connections", "requests_per_second: 50", "requests_per_second: many", "valid integer"),
        ("connections", "rounding: half_even", "rounding: bankers", "half_up"),
        ("policies", 'burden: "0.25"', 'burden: "-0.25"', "greater than or equal to 0"),
        ("policies", 'burden: "0.25"', "burden: .nan", "finite"),
        ("policies", "first_month: 2026-09", "first_month: 2026-9", "write it as 2026-09"),
        ("policies", "(?P<code>", "(?P<kode>", "(?P<code>…)"),
        ("policies", "(?P<code>", "((?P<code>", "not a regular expression"),
        ("policies", "lease_seconds: 180", "lease: 180", "lease"),
        ("tax_profiles", "customer_country: GB", "customer_country: Gb", "customer_country"),
        ("tax_profiles", "legal_entity: UK", "legal_entity: FR", "none of DE, UK, US"),
        ("rate_cards", "currency: GBP", "currency: pounds", "three capital letters"),
        ("rate_cards", 'role: Principal, per_hour: "265.00"', "role: Principal, per_hour: 265.10", '"150.00"'),
        ("rate_cards", 'role: Principal, per_hour: "265.00"', "role: Principal, per_hour: 265", '"150.00"'),
        ("rate_cards", 'role: Principal, per_hour: "265.00"', 'role: Principal, per_hour: "much"', "valid decimal"),
        ("rate_cards", 'role: Principal, per_hour: "265.00"', 'role: Principal, per_hour: "-1"', "greater than"),
        ("rate_cards", 'role: Principal, per_hour: "265.00"', 'role: Principal, per_hour: "NaN"', "finite"),
        ("rate_cards", 'role: Principal, per_hour: "265.00"', 'role: Principal, per_hour: "1E999"', "digits"),
        ("rate_cards", 'role: Principal, per_hour: "265.00"', 'role: Principal, per_hour: "2.65001"', "decimal places"),
        ("rate_cards", "role: Principal,", 'role: " ",', "role"),
        ("rate_cards", "role: Principal,", "rolle: Principal,", "rolle"),
        ("rate_cards", "role: Principal,", "task: 12,", "task"),
        ("rate_cards", "from: 2026-01-01", "from: 2026-02-30x", "valid date"),
        ("rate_cards", "from: 2026-01-01", "form: 2026-01-01", "form"),
        ("rate_cards", "from: 2026-01-01", "from: 2026-01-01, to: 2025-12-31", "`to` is before `from`"),
        ("rate_cards", "standard-2026-gbp:", "standard 2026:", "pattern"),
        ("rate_cards", "standard-2026-gbp:", "2026:", "valid string"),
        ("rate_cards", "standard-2026-gbp:", "standard-2026-usd:", "the key 'standard-2026-usd' stands twice"),
        (
            "rate_cards",
            "role: Senior Consultant",
            "role: Consultant",
            "a second line standard-2026-usd/role=Consultant@",
        ),
    ],
)
def test_a_mistake_is_named_with_its_file_and_line(config: Path, name: str, old: str, new: str, hint: str) -> None:
    """Somebody would look for it in the wrong place, or the sync would run on what was not meant."""
    line = change(config, name, old, new)
    found = problems(config)
    assert any(problem.startswith(f"{name}.yaml:{line}: ") and hint in problem for problem in found), found


@pytest.mark.parametrize(
    ("name", "old", "new", "hint"),
    [
        ("company", "default_legal_entity: US", "default_legal_entity: FR", "must be one of US, UK, DE"),
        ("company", "code: UK", "code: US", "two legal entities have one code"),
        ("policies", "lease_seconds: 180", "lease_seconds: 60", "request_timeout_seconds must be below lease_seconds"),
    ],
)
def test_values_that_contradict_each_other_are_refused(config: Path, name: str, old: str, new: str, hint: str) -> None:
    """Each is well formed by itself, and two workers would send one posting."""
    change(config, name, old, new)
    assert any(problem.startswith(f"{name}.yaml:") and hint in problem for problem in problems(config))


@pytest.mark.parametrize(
    ("spoil", "hint"),
    [
        (lambda path: path.unlink(), "company.yaml: the file is missing; copy it"),
        (lambda path: path.write_text("a: [1,\nb: 2"), "company.yaml:2: not valid YAML"),
        (lambda path: path.write_text("tenant: 2026-13-99"), "company.yaml: not valid YAML"),
        (lambda path: path.write_text(""), "company.yaml:1: the file:"),
        (lambda path: path.write_text("just words"), "company.yaml:1: the file:"),
        (lambda path: path.write_bytes(b"tenant: demo\nname: M\xfcller"), "company.yaml:2: not in UTF-8"),
        (lambda path: (path.unlink(), path.mkdir()), "company.yaml: cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem_and_no_crash(
    config: Path, spoil: Callable[[Path], object], hint: str
) -> None:
    """A stack trace says nothing to whoever edits the file."""
    spoil(config / "company.yaml")
    assert any(problem.startswith(hint) for problem in problems(config))


def test_the_committed_cards_price_the_roles_of_the_demo_in_each_of_its_currencies(config: Path) -> None:
    """Whole departments would be held without a rate."""
    lines = rate_card_lines(load(config).rate_cards)
    names = {f"standard-2026-{entity.currency.lower()}": entity.currency for entity in ENTITIES}
    roles = {"Consultant", "Senior Consultant", "Principal", "Engineer", "Senior Engineer"}
    assert {(r.card, r.role, r.per_hour.currency) for r in lines if r.task is None} == {
        (name, role, currency) for name, currency in names.items() for role in roles
    }


def test_a_line_of_a_rate_card_becomes_a_record_with_an_id_that_says_what_it_is_about(config: Path) -> None:
    """With a number as its id, a line that is put in above it would re-price everything."""
    (config / "rate_cards.yaml").write_text(
        "side-letter:\n  currency: EUR\n  lines:\n"
        '    - {per_hour: "99.5", from: 2026-01-01}\n'
        "    - {contract: CTR-1, project: PRJ-1, task: T, employee: EMP-1, role: R,\n"
        '       per_hour: "100", from: 2026-01-01, to: 2026-01-01}\n'
    )
    first = dt.date(2026, 1, 1)
    assert rate_card_lines(load(config).rate_cards) == (
        RateCardLine(
            id="side-letter/*@2026-01-01",
            card="side-letter",
            per_hour=Money(Decimal("99.5"), "EUR"),
            valid_from=first,
            valid_to=None,
        ),
        RateCardLine(
            id="side-letter/contract=CTR-1,project=PRJ-1,task=T,employee=EMP-1,role=R@2026-01-01",
            card="side-letter",
            per_hour=Money(Decimal(100), "EUR"),
            valid_from=first,
            valid_to=first,
            contract_id="CTR-1",
            project_id="PRJ-1",
            task="T",
            employee_id="EMP-1",
            role="R",
        ),
    )


@pytest.mark.parametrize(
    "spoil", [lambda path: path.unlink(), lambda path: path.write_text(""), lambda path: path.write_text("# later\n")]
)
def test_without_rate_cards_there_are_none(config: Path, spoil: Callable[[Path], object]) -> None:
    """A company that prices by project in the PSA would have to write a file that says nothing."""
    spoil(config / "rate_cards.yaml")
    assert rate_card_lines(load(config).rate_cards) == ()


def test_rate_cards_that_cannot_be_read_are_a_problem(config: Path) -> None:
    """They would be taken for none, and all that they price held."""
    (config / "rate_cards.yaml").write_text("- role: Principal\n")
    assert any(problem.startswith("rate_cards.yaml:1: the file:") for problem in problems(config))
    (config / "rate_cards.yaml").write_text("usd: {currency: USD, lines: []}\nusd2\n")
    assert any(problem.startswith("rate_cards.yaml:") and "not valid YAML" in problem for problem in problems(config))


def test_all_mistakes_are_named_at_once(config: Path) -> None:
    """They would be found one by one, a start each."""
    change(config, "company", "currency: GBP", "currency: pounds")
    change(config, "company", "country: DE", "country: Germany")
    change(config, "policies", "batch_size: 200", "batch_size: 0")
    assert len(problems(config)) == 3


def test_no_secret_shows_anywhere(config: Path) -> None:
    """A log, a trace or a crash report would hand it out."""
    (config.parent / "secrets.env").write_text(f"# a comment\nPSA_ERP_FROM_FILE={SECRET}\n\nnot a pair\n")
    url = f"postgresql://user:{SECRET}@127.0.0.1/db"
    settings = load(config, PSA_ERP_FROM_ENVIRONMENT=SECRET, PSA_ERP_DATABASE_URL=url)
    assert settings.secret("PSA_ERP_FROM_FILE") == settings.secret("PSA_ERP_FROM_ENVIRONMENT") == SECRET
    shown = [
        repr(settings),
        str(settings),
        repr(settings.secrets),
        str(settings.model_dump()),
        f"{settings.database_url}",
    ]
    assert not any(SECRET in text for text in shown)


def test_a_missing_secret_says_where_to_put_it(config: Path) -> None:
    """An empty password would be sent, and the account locked."""
    settings = load(config, PSA_ERP_EMPTY="", PSA_ERP_OTHER=SECRET)
    for name in ("PSA_ERP_EMPTY", "PSA_ERP_ABSENT"):
        with pytest.raises(ConfigError, match=rf"the secret {name} is missing.*secrets\.env") as caught:
            settings.secret(name)
        assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_secret_in_place_of_its_name_is_not_repeated(config: Path) -> None:
    """The message about it would carry it into a log."""
    change(config, "connections", "password: PSA_ERP_TRYTON_PASSWORD", f"password: {SECRET}")
    with pytest.raises(ConfigError) as caught:
        load(config)
    assert "password" in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_the_environment_wins_over_the_file(config: Path) -> None:
    """A rotated key would be ignored."""
    (config.parent / "secrets.env").write_text("PSA_ERP_KEY=old\n")
    assert load(config, PSA_ERP_KEY="new").secret("PSA_ERP_KEY") == "new"


def test_settings_do_not_change(config: Path) -> None:
    """Half of a run would follow other rules than the other half."""
    with pytest.raises(ValueError, match="frozen"):
        load(config).console_url = "http://127.0.0.1:1"


def test_a_company_without_fixed_fees_needs_no_second_psa(config: Path) -> None:
    """A configuration from before there was one would no longer be read."""
    path = config / "connections.yaml"
    before, _, rest = path.read_text(encoding="utf-8").partition("milestones:")
    path.write_text(before + rest[rest.index("erp:") :], encoding="utf-8")
    assert load(config).connections.milestones is None
    assert load_settings({}).connections.milestones is not None


def add(config: Path, text: str, name: str = "policies") -> int:
    """Put lines at the end of a file, in place of the sections of the same names; answers with the first one's line."""
    path = config / f"{name}.yaml"
    begun = {line.partition(":")[0] for line in text.splitlines() if line[:1].isalpha()}
    kept, inside = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        inside = line.partition(":")[0] in begun if line[:1].isalpha() else inside
        kept += [] if inside else [line]
    path.write_text("\n".join([*kept, text]) + "\n", encoding="utf-8")
    return len(kept) + 1


def test_policies_of_an_older_version_go_on_working(config: Path) -> None:
    """An update would stop every sync until somebody has added sections that they do not need."""
    text = (config / "policies.yaml").read_text(encoding="utf-8")
    old = text[: text.index("intercompany_mark_up:")]
    (config / "policies.yaml").write_text(old, encoding="utf-8")
    scope = Scope.of(load(config))
    assert scope.approvals == ()
    assert scope.rules.rollout == Rollout()
    assert scope.rules.cost == CostPolicy()
    assert (scope.go_live.months, scope.go_live.share, scope.go_live.amount) == (2, Decimal("0.005"), Decimal("1.00"))


def test_the_shipped_rules_are_about_credits_and_large_plans(config: Path) -> None:
    """The demo would wait for somebody, or nobody would be asked about anything."""
    rules = Scope.of(load(config)).approvals
    assert [(r.action, r.effect_type, r.above) for r in rules] == [
        (Action.REVERSE, EffectType.BILLING_LINE, Money(Decimal(50000), "USD")),
        (None, None, Money(Decimal(2000000), "USD")),
    ]
    assert Scope.of(load(config)).rules.rollout == Rollout()


def test_approvals_rollout_and_mark_up_become_what_the_rules_are_made_of(config: Path) -> None:
    """A rule that is written down would not hold."""
    add(
        config,
        'intercompany_mark_up: "0.10"\n'
        "approvals:\n"
        "  - { name: voids, legal_entity: UK, action: void, effect_type: cost_transaction }\n"
        "rollout:\n"
        "  - { mode: off }\n"
        "  - { mode: live, legal_entity: UK, contract_kind: capped, from: 2026-10-01 }\n"
        'go_live: { months: 3, tolerance_share: "0.01", tolerance_amount: "5" }',
    )
    scope = Scope.of(load(config))
    assert scope.approvals == (
        ApprovalRule(
            name="voids", legal_entity="UK", action=Action.VOID, effect_type=EffectType.COST_TRANSACTION, above=None
        ),
    )
    october = dt.date(2026, 10, 1)
    assert scope.rules.rollout == Rollout(
        steps=(
            RolloutStep(mode=Mode.OFF),
            RolloutStep(mode=Mode.LIVE, legal_entity="UK", contract_kind=ContractKind.CAPPED, valid_from=october),
        )
    )
    assert scope.rules.cost.intercompany_mark_up == Decimal("0.10")
    assert scope.go_live == GoLive(months=3, share=Decimal("0.01"), amount=Decimal(5))


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("approvals:\n  - { name: x, legal_entity: FR }", 1, "none of DE, UK, US"),
        ("approvals:\n  - { name: x, action: hold }", 1, "nothing is done by hold"),
        ("approvals:\n  - { name: x, action: undo }", 1, "action"),
        ("approvals:\n  - { action: reverse }", 1, "name"),
        ("approvals:\n  - name: x\n    above: { amount: 50000.00, currency: USD }", 2, '"150.00"'),
        ('approvals:\n  - name: x\n    above: { amount: "-1", currency: USD }', 2, "greater than"),
        ('approvals:\n  - name: x\n    above: { amount: "1", currency: dollars }', 2, "three capital letters"),
        ('approvals:\n  - name: x\n    above: { amount: "1" }', 2, "currency"),
        ("rollout:\n  - { mode: live }\n  - { mode: live, legal_entity: FR }", 2, "none of DE, UK, US"),
        ("rollout:\n  - { mode: on }", 1, "shadow"),
        ("rollout:\n  - { mode: live, contract_kind: hourly }", 1, "capped"),
        ("rollout:\n  - { mode: live, since: 2026-10-01 }", 1, "since"),
        ("rollout:\n  - { mode: live, from: October }", 1, "valid date"),
        ('intercompany_mark_up: "-0.1"', 0, "greater than"),
        ('intercompany_mark_up: "NaN"', 0, "finite"),
        ("go_live: { months: 0 }", 0, "greater than"),
        ('go_live: { tolerance_share: "1" }', 0, "less than 1"),
    ],
)
def test_a_mistake_in_a_rule_is_named_with_its_line(config: Path, text: str, line: int, hint: str) -> None:
    """Plans would be applied that somebody wanted to see first, or an entity would post that was to wait."""
    where = add(config, text) + line
    found = problems(config)
    assert any(problem.startswith(f"policies.yaml:{where}: ") and hint in problem for problem in found), found


def test_a_key_that_stands_twice_is_refused_with_its_line(config: Path) -> None:
    """YAML takes the last one without a word: half a file could be without effect and called valid."""
    path = config / "company.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "tenant: other\n", encoding="utf-8")
    line = len(path.read_text(encoding="utf-8").splitlines())
    with pytest.raises(ConfigError, match=rf"company\.yaml:{line}: .*'tenant' stands twice"):
        load(config)


NOTIFIED = """
mail: {host: smtp.example.com, sender: psa@example.com}
routes:
  - name: finance
    legal_entities: [US]
    emails: [finance@example.com]
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("finance@example.com", '"a@example.com\\nBcc: b@example.com"', 6, "String should match pattern"),
        ("[US]", "[FR]", 5, "'FR' is none of DE, UK, US (company.yaml)"),
        ("name: finance", "name: Finance Team", 4, "String should match pattern"),
        ("    emails: [finance@example.com]\n", "", 4, "the route goes nowhere"),
        ("mail: {host: smtp.example.com, sender: psa@example.com}", "mail: null", 2, "there is no mail server"),
        ("sender: psa", "security: none, sender: psa", 2, "security: none is for a server on this machine"),
        ("sender: psa", "user: u, sender: psa", 2, "write both user and password"),
        ("emails: [finance@example.com]", 'webhooks: [{url: "http://h.example.com", secrets: S_1}]', 6, "https://"),
        ("legal_entities", "at_least: soon\n    legal_entities", 5, "Input should be"),
    ],
)
def test_a_mistake_in_the_notifications_is_named(config: Path, old: str, new: str, line: int, said: str) -> None:
    """Nobody is told of anything, and nobody is told of that either; or a password is readable on its way."""
    path = config / "notifications.yaml"
    assert old in NOTIFIED
    path.write_text(NOTIFIED.replace(old, new), encoding="utf-8")
    [problem] = problems(config)
    assert problem.startswith(f"notifications.yaml:{line}:"), problem
    assert said in problem


def test_notifications_may_be_left_out(config: Path) -> None:
    """A company that wants none could not start."""
    (config / "notifications.yaml").write_text(NOTIFIED, encoding="utf-8")
    [route] = load(config).notifications.routes
    assert (route.at_least.value, route.digest_minutes, len(route.events)) == ("low", 15, 5)
    (config / "notifications.yaml").unlink()
    assert load(config).notifications.routes == ()


def test_traces_go_where_the_variables_of_opentelemetry_say(config: Path) -> None:
    """Somebody sets what every other program reads, and nothing arrives."""
    assert load(config).traces_url is None
    assert load(config, OTEL_EXPORTER_OTLP_ENDPOINT="http://c:4318/").traces_url == "http://c:4318/v1/traces"
    exact = load(config, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://c/t", OTEL_EXPORTER_OTLP_ENDPOINT="http://d")
    assert exact.traces_url == "http://c/t"
    assert load(config, OTEL_TRACES_SAMPLER_ARG="0.1").traces_ratio == 0.1
    for wrong in ("1.5", "-1", "nan", "some"):
        with pytest.raises(ConfigError, match="OTEL_TRACES_SAMPLER_ARG"):
            load(config, OTEL_TRACES_SAMPLER_ARG=wrong)
