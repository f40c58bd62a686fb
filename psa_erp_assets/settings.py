"""The company's settings: `data/config/*.yaml`, the environment and the secrets file, as one frozen value.

Read when `load_settings` is called, never at import. A mistake is a `ConfigError` that names the file, the line and
what was expected. Secrets are held as `SecretStr`: they do not show in a repr, a log or an exception.
"""

import datetime as dt
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decision import Mode
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.money import Money, Rounding, exponent
from psa_erp_assets.domain.plan import ACTING, Action
from psa_erp_assets.domain.records import RateCardLine
from psa_erp_assets.domain.tax import TaxBasis
from psa_erp_assets.domain.terms import ContractKind

CONFIG_FILES = ("company", "connections", "policies", "tax_profiles", "rate_cards")
_MAY_BE_MISSING = {"rate_cards"}
REPOSITORY = Path(__file__).resolve().parent.parent
SQL_MODELS = REPOSITORY / "dbt_like_sql"


class OperatorError(Exception):
    """Something that an operator can put right; the message says what is wrong and what to do."""


class ConfigError(OperatorError):
    """Settings that cannot be used; `problems` has one line each, with file, line and fix."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def _currency(code: str) -> str:
    exponent(code)
    return code


def _month(text: str) -> str:
    return str(ServiceMonth.parse(text))


def _pattern(text: str) -> str:
    try:
        groups = re.compile(text).groupindex.keys()
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    if not {"code", "name"} <= groups:
        raise ValueError("the pattern needs the groups (?P<code>…) and (?P<name>…)")
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        # A name that is a folder of the zone database raises OSError, one that points outside it ValueError.
        raise ValueError("no time zone has this name; write it as Europe/Berlin") from error
    return name


def _quoted(value: object) -> object:
    # A rate without quotes is a binary fraction by the time that YAML hands it over.
    if isinstance(value, str):
        return value
    raise ValueError('write the amount in quotes, as "150.00"')


def _acting(action: Action) -> Action:
    if action not in ACTING:
        raise ValueError(f"nothing is done by {action.value}; write one of {', '.join(sorted(ACTING))}")
    return action


def _off(value: object) -> object:
    # YAML reads the word off as the boolean.
    return Mode.OFF.value if value is False else value


ActingAction = Annotated[Action, AfterValidator(_acting)]
# As many decimals as a currency has at most.
Amount = Annotated[Decimal, BeforeValidator(_quoted), Field(ge=0, max_digits=18, decimal_places=4)]
CardName = Annotated[str, Field(pattern=r"^[^\s/]+$")]
Currency = Annotated[str, AfterValidator(_currency)]
# Not more decimals than an hour's effective rate has, and no amount that is only an exponent's slip.
HourlyRate = Annotated[Decimal, BeforeValidator(_quoted), Field(ge=0, max_digits=12, decimal_places=4)]
Month = Annotated[str, AfterValidator(_month)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
SecretName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]+$")]
TimeZone = Annotated[str, AfterValidator(_zone)]
# No user and password in it: they would stand in every log.
Url = Annotated[str, Field(pattern=r"^https?://[^\s/@]+(/[^\s@]*)?$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LegalEntitySettings(_Frozen):
    """One company of the group."""

    code: Annotated[str, Field(pattern=r"^[A-Z0-9_-]+$")]
    name: str
    currency: Currency
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    time_zone: TimeZone
    erp_company: str | None = None


class _OneOfEachKey(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping: YAML would silently take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """See yaml.SafeLoader. Raises ConstructorError for a key that was there before, with its line."""
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.value in seen:
                problem = f"the key {key.value!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class CompanySettings(_Frozen):
    """The group."""

    tenant: str
    group_currency: Currency
    default_legal_entity: str
    legal_entities: tuple[LegalEntitySettings, ...]

    @model_validator(mode="after")
    def _default_is_known(self) -> "CompanySettings":
        codes = [e.code for e in self.legal_entities]
        if len(set(codes)) != len(codes):
            raise ValueError("two legal entities have one code")
        if self.default_legal_entity not in codes:
            raise ValueError(f"default_legal_entity must be one of {', '.join(codes)}")
        return self


class PsaConnection(_Frozen):
    """The professional-services automation system."""

    kind: Literal["clockify"]
    base_url: Url
    workspace: str
    api_key: SecretName
    webhook_tokens: SecretName
    requests_per_second: Annotated[int, Field(gt=0)]


class CrmConnection(_Frozen):
    """The customer-relationship system: customers and signed contracts."""

    kind: Literal["hubspot"]
    base_url: Url
    token: SecretName
    requests_per_second: Annotated[int, Field(gt=0)]


class HrConnection(_Frozen):
    """The HR system: employees and what they cost."""

    kind: Literal["bamboohr"]
    base_url: Url
    api_key: SecretName
    requests_per_second: Annotated[int, Field(gt=0)]


class MilestoneConnection(_Frozen):
    """A second PSA, in which the milestones of fixed fees are accepted."""

    kind: Literal["kantata"]
    base_url: Url
    token: SecretName
    requests_per_second: Annotated[int, Field(gt=0)]


class ErpConnection(_Frozen):
    """The ERP, which alone posts invoices."""

    kind: Literal["tryton"]
    base_url: Url
    database: str
    user: str
    password: SecretName
    rounding: Rounding
    tax_basis: TaxBasis = TaxBasis.DOCUMENT


class Connections(_Frozen):
    """All outside systems. `sandboxes`: they are the demo's own servers, to be started along with the rest.

    `milestones` is None for a company without fixed fees by milestone.
    """

    sandboxes: bool = False
    psa: PsaConnection
    crm: CrmConnection
    hr: HrConnection
    erp: ErpConnection
    milestones: MilestoneConnection | None = None


class CostRatePolicy(_Frozen):
    """How a salary becomes an hourly cost: salary × (1 + burden) ÷ annual hours."""

    burden: Annotated[Decimal, Field(ge=0)]
    annual_hours: Annotated[int, Field(gt=0)]


class ExtractionPolicy(_Frozen):
    """How far back sweeps read."""

    first_month: Month
    overlap_hours: Annotated[int, Field(ge=0)]


class PostingPolicy(_Frozen):
    """Limits of the posting engine, in seconds where not said otherwise."""

    batch_size: Annotated[int, Field(gt=0)]
    request_timeout_seconds: Annotated[int, Field(gt=0)]
    longest_execution_seconds: Annotated[int, Field(ge=0)]
    lease_seconds: Annotated[int, Field(gt=0)]

    @model_validator(mode="after")
    def _deadline_is_inside_the_lease(self) -> "PostingPolicy":
        if self.request_timeout_seconds >= self.lease_seconds:
            raise ValueError("request_timeout_seconds must be below lease_seconds, or two workers may send one posting")
        return self


class AmountSettings(_Frozen):
    """An amount in a currency."""

    amount: Amount
    currency: Currency


class ApprovalSettings(_Frozen):
    """A plan that does more than this must be approved before it is applied; what is left out stands for every one."""

    name: Name
    legal_entity: str | None = None
    action: ActingAction | None = None
    effect_type: EffectType | None = None
    above: AmountSettings | None = None


class RolloutStepSettings(_Frozen):
    """From a service date on, how far an entity and a contract type are; what is left out stands for every one."""

    mode: Annotated[Mode, BeforeValidator(_off)]
    legal_entity: str | None = None
    contract_kind: ContractKind | None = None
    valid_from: Annotated[dt.date | None, Field(alias="from")] = None


class GoLiveSettings(_Frozen):
    """When a shadow plan agrees well enough with what people bill by hand.

    In so many consecutive months each contract differs by no more than the share of what was billed by hand, or than
    the amount in the contract's currency, whichever is more.
    """

    months: Annotated[int, Field(ge=1)] = 2
    tolerance_share: Annotated[Decimal, Field(ge=0, lt=1)] = Decimal("0.005")
    tolerance_amount: Amount = Decimal("1.00")


class Policies(_Frozen):
    """Rules that finance decides.

    Without `approvals` no plan waits for anybody, without a `rollout` everything is live, and without an
    `intercompany_mark_up` (a fraction on top of cost) one entity charges another what its people cost.
    """

    cost_rates: CostRatePolicy
    project_name_pattern: Annotated[str, AfterValidator(_pattern)]
    extraction: ExtractionPolicy
    posting: PostingPolicy
    approvals: tuple[ApprovalSettings, ...] = ()
    rollout: tuple[RolloutStepSettings, ...] = ()
    go_live: GoLiveSettings = GoLiveSettings()
    intercompany_mark_up: Annotated[Decimal, Field(ge=0)] = Decimal(0)


class TaxProfileSettings(_Frozen):
    """Which of the ERP's taxes an entity charges to customers of a country."""

    legal_entity: str
    customer_country: Annotated[str, Field(pattern=r"^([A-Z]{2}|\*)$")]
    erp_tax: str | None = None


class RateCardLineSettings(_Frozen):
    """What an hour costs of whatever the line names; one that names nothing holds for all work."""

    contract: Name | None = None
    project: Name | None = None
    task: Name | None = None
    employee: Name | None = None
    role: Name | None = None
    per_hour: HourlyRate
    valid_from: Annotated[dt.date, Field(alias="from")]
    valid_to: Annotated[dt.date | None, Field(alias="to")] = None

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> "RateCardLineSettings":
        if self.valid_to is not None and self.valid_to < self.valid_from:
            raise ValueError("`to` is before `from`; both days are included")
        return self

    def id_in(self, card: str) -> str:
        """The line's id: the card, what the line names, and its first day."""
        names = ("contract", "project", "task", "employee", "role")
        named = ",".join(f"{name}={getattr(self, name)}" for name in names if getattr(self, name) is not None)
        return f"{card}/{named or '*'}@{self.valid_from}"


class RateCardSettings(_Frozen):
    """Rates in one currency, under a name that contracts refer to."""

    currency: Currency
    lines: tuple[RateCardLineSettings, ...]


class Settings(_Frozen):
    """Everything that the sync is told. `home` is where generated files go, `environment` what secrets come from."""

    home: Path
    config_dir: Path
    database_url: SecretStr | None
    company: CompanySettings
    connections: Connections
    policies: Policies
    tax_profiles: tuple[TaxProfileSettings, ...]
    rate_cards: Mapping[str, RateCardSettings]
    console_url: str
    dagster_url: str
    secrets: Mapping[str, SecretStr] = Field(repr=False)

    @property
    def tenant(self) -> str:
        """The tenant, part of every key."""
        return self.company.tenant

    @cached_property
    def entity_codes(self) -> tuple[str, ...]:
        """Codes of the legal entities, in the order of the settings."""
        return tuple(e.code for e in self.company.legal_entities)

    def secret(self, name: str) -> str:
        """The secret of this name. Raises ConfigError that says where to put it, never what it is."""
        value = self.secrets.get(name)
        if value is None or not value.get_secret_value():
            where = self.home / "secrets.env"
            raise ConfigError([f"the secret {name} is missing: set it in the environment or in {where}"])
        return value.get_secret_value()


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from `PSA_ERP_CONFIG` (default data/config) and the environment.

    `PSA_ERP_HOME` is the folder for generated files (default data), `PSA_ERP_DATABASE_URL` a PostgreSQL server
    instead of the embedded one, `PSA_ERP_SECRETS_FILE` a file of NAME=value lines (default HOME/secrets.env).
    Raises ConfigError with every problem found.
    """
    env = dict(os.environ if environ is None else environ)
    home = Path(env.get("PSA_ERP_HOME") or REPOSITORY / "data").resolve()
    config_dir = Path(env.get("PSA_ERP_CONFIG") or REPOSITORY / "data" / "config").resolve()
    secrets = _secrets_file(Path(env.get("PSA_ERP_SECRETS_FILE") or home / "secrets.env"))
    secrets |= {name: value for name, value in env.items() if name.startswith("PSA_ERP_")}
    models: dict[str, type[_Frozen]] = {
        "company": CompanySettings,
        "connections": Connections,
        "policies": Policies,
        "tax_profiles": TaxProfileList,
        "rate_cards": RateCards,
    }
    read: dict[str, Any] = {}
    problems: list[str] = []
    texts: dict[str, str] = {}
    for name in CONFIG_FILES:
        path = config_dir / f"{name}.yaml"
        inside = _FIELD_OF_WHOLE_FILE.get(name)
        try:
            missing = name in _MAY_BE_MISSING and not path.exists()
            text = texts[name] = "" if missing else path.read_text(encoding="utf-8")
            body = yaml.load(text, Loader=_OneOfEachKey)  # noqa: S506 - it is a SafeLoader
            if body is None and name in _MAY_BE_MISSING:
                body = {}
            value = models[name].model_validate({inside: body} if inside else body)
            read[name] = getattr(value, inside) if inside else value
        except FileNotFoundError:
            problems.append(f"{path}: the file is missing; copy it from data/config of the project and adapt it")
        except OSError as error:
            problems.append(f"{path}: cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            before = error.object[: error.start].count(b"\n")
            problems.append(f"{path}:{before + 1}: not in UTF-8; save it as UTF-8")
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            problems.append(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}")
        except ValidationError as error:
            problems += _explain(path, text, error, prefix=(inside,) if inside else ())
        except ValueError as error:
            # YAML reads 2026-13-01 as a date, and Python knows no such day.
            problems.append(f"{path}: not valid YAML: {error}")
    if not problems:
        taxes, policies = read["tax_profiles"], read["policies"]
        named: list[_Named] = [((number, "legal_entity"), tax.legal_entity) for number, tax in enumerate(taxes)]
        problems = _cross_check(config_dir / "tax_profiles.yaml", texts["tax_profiles"], read["company"], named)
        named = [
            ((section, number, "legal_entity"), rule.legal_entity)
            for section in ("approvals", "rollout")
            for number, rule in enumerate(getattr(policies, section))
            if rule.legal_entity is not None
        ]
        problems += _cross_check(config_dir / "policies.yaml", texts["policies"], read["company"], named)
        problems += _check_rate_cards(config_dir, texts["rate_cards"], read["rate_cards"])
    if problems:
        raise ConfigError(problems)
    return Settings(
        home=home,
        config_dir=config_dir,
        database_url=SecretStr(env["PSA_ERP_DATABASE_URL"]) if env.get("PSA_ERP_DATABASE_URL") else None,
        company=read["company"],
        connections=read["connections"],
        policies=read["policies"],
        tax_profiles=read["tax_profiles"],
        rate_cards=read["rate_cards"],
        console_url=env.get("PSA_ERP_CONSOLE_URL") or "http://127.0.0.1:8080",
        dagster_url=env.get("PSA_ERP_DAGSTER_URL") or "http://127.0.0.1:3000",
        secrets={name: SecretStr(value) for name, value in secrets.items()},
    )


class TaxProfileList(_Frozen):
    """The list in tax_profiles.yaml."""

    profiles: tuple[TaxProfileSettings, ...]


class RateCards(_Frozen):
    """The cards in rate_cards.yaml by name."""

    cards: Mapping[CardName, RateCardSettings]


_FIELD_OF_WHOLE_FILE = {"tax_profiles": "profiles", "rate_cards": "cards"}


def rate_card_lines(cards: Mapping[str, RateCardSettings]) -> tuple[RateCardLine, ...]:
    """The cards' lines as records.

    An id says what the line is about, as in "standard-2026-usd/role=Principal@2026-01-01", and stays the same when
    its rate or last day changes or the file is put into another order.
    """
    return tuple(
        RateCardLine(
            id=line.id_in(name),
            card=name,
            per_hour=Money(line.per_hour, card.currency),
            valid_from=line.valid_from,
            valid_to=line.valid_to,
            contract_id=line.contract,
            project_id=line.project,
            task=line.task,
            employee_id=line.employee,
            role=line.role,
        )
        for name, card in cards.items()
        for line in card.lines
    )


def _secrets_file(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    pairs = (line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, value in pairs if not name.lstrip().startswith("#")}


# Where a file names a legal entity, and which.
_Named = tuple[Sequence[int | str], str]


def _cross_check(path: Path, text: str, company: CompanySettings, named: Sequence[_Named]) -> list[str]:
    """The legal entities that a file names, with where it does, and that the company does not have."""
    codes = {e.code for e in company.legal_entities}
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return [
        f"{path}:{_line_of(root, location)}: {code!r} is none of {', '.join(sorted(codes))} (company.yaml)"
        for location, code in named
        if code not in codes
    ]


def _check_rate_cards(config_dir: Path, text: str, cards: Mapping[str, RateCardSettings]) -> Iterator[str]:
    path, root = config_dir / "rate_cards.yaml", yaml.compose(text, Loader=yaml.SafeLoader)
    ids: set[str] = set()
    for name, card in cards.items():
        for number, line in enumerate(card.lines):
            line_id = line.id_in(name)
            if line_id in ids:
                where = _line_of(root, (name, "lines", number))
                yield f"{path}:{where}: a second line {line_id}; give it another first day, or take one of the two out"
            ids.add(line_id)


def _explain(path: Path, text: str, error: ValidationError, prefix: tuple[str, ...]) -> list[str]:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    lines = []
    for problem in error.errors():
        location = tuple(problem["loc"])[len(prefix) :]
        name = ".".join(str(part) for part in location) or "the file"
        lines.append(f"{path}:{_line_of(root, location)}: {name}: {problem['msg']}")
    return lines


def _line_of(node: Any, location: Sequence[int | str]) -> int:
    """The line of the deepest part of `location` that the document has."""
    line: int = node.start_mark.line + 1 if node is not None else 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
