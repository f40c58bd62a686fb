"""Settings: every mistake is named with its file, its line and what to write, and no secret shows."""

import shutil
import traceback
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from psa_erp_assets.domain.money import Rounding
from psa_erp_assets.settings import CONFIG_FILES, REPOSITORY, ConfigError, Settings, load_settings

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
