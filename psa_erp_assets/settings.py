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

from psa_erp_assets.domain.access import Role
from psa_erp_assets.domain.calendar import ServiceMonth
from psa_erp_assets.domain.decision import Mode
from psa_erp_assets.domain.effects import EffectType
from psa_erp_assets.domain.exception_duties import Priority
from psa_erp_assets.domain.faults import FAULTS, FaultClass, Owner
from psa_erp_assets.domain.links import LinkType
from psa_erp_assets.domain.money import Money, Rounding, exponent
from psa_erp_assets.domain.notices import NoticeKind
from psa_erp_assets.domain.ownership import OnChange
from psa_erp_assets.domain.plan import ACTING, Action
from psa_erp_assets.domain.records import ApprovalState, RateCardLine
from psa_erp_assets.domain.signatures import TOLERANCE_SECONDS, Scheme
from psa_erp_assets.domain.tax import TaxBasis
from psa_erp_assets.domain.terms import ContractKind

CONFIG_FILES = (
    "company", "connections", "policies", "tax_profiles", "rate_cards", "access", "exceptions", "ownership",
    "notifications",
)  # fmt: skip
_MAY_BE_MISSING = {"rate_cards", "exceptions", "access", "ownership", "notifications"}
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
# One address and nothing that could become a header of its own.
MailAddress = Annotated[str, Field(pattern=r"^[^\s@<>,;:\"]+@[^\s@<>,;:\"]+$", max_length=254)]
HeaderName = Annotated[str, Field(pattern=r"^[a-z0-9-]*$")]
# Not more decimals than an hour's effective rate has, and no amount that is only an exponent's slip.
HourlyRate = Annotated[Decimal, BeforeValidator(_quoted), Field(ge=0, max_digits=12, decimal_places=4)]
Month = Annotated[str, AfterValidator(_month)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
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


class WebhookSettings(_Frozen):
    """How the deliveries to /webhooks/NAME of one source are verified, and where they name their event.

    `scheme` is one of `domain/signatures.py`; `secrets` names a secret with all live ones, separated by
    commas. `url` is the address that the vendor was given, for a scheme that signs it.
    """

    scheme: Scheme
    secrets: SecretName
    event_header: HeaderName | None = None
    event_field: Name | None = None
    header: HeaderName = ""
    prefix: str = ""
    digest: Literal["sha256", "sha1", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    timestamp_header: HeaderName = ""
    url: Url | None = None
    tolerance_seconds: Annotated[int, Field(ge=1, le=3600)] = TOLERANCE_SECONDS

    @model_validator(mode="after")
    def _can_be_verified(self) -> "WebhookSettings":
        if (self.event_header is None) == (self.event_field is None):
            raise ValueError("say either event_header or event_field: where the source names the event")
        if self.scheme in (Scheme.TOKEN, Scheme.BODY_HMAC) and not self.header:
            raise ValueError(f"the scheme {self.scheme.value} needs the header that carries the token or the HMAC")
        if self.scheme is Scheme.HUBSPOT_V3 and self.url is None:
            raise ValueError("HubSpot signs the address that it sends to: write it as url")
        return self


class Connections(_Frozen):
    """All outside systems. `sandboxes`: they are the demo's own servers, to be started along with the rest.

    `milestones` is None for a company without fixed fees by milestone. `webhooks` are further sources by the
    name in their address; that of the PSA is clockify, with its `webhook_tokens`.
    """

    sandboxes: bool = False
    psa: PsaConnection
    crm: CrmConnection
    hr: HrConnection
    erp: ErpConnection
    milestones: MilestoneConnection | None = None
    webhooks: Mapping[SourceName, WebhookSettings] = {}


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


class AuditSettings(_Frozen):
    """How often the audit log is sealed, and where its checkpoints go besides data/audit; see docs/audit.md."""

    seal_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    checkpoint_url: Url | None = None


class RetentionSettings(_Frozen):
    """After how many months personal data in payloads is erased by itself; None keeps it for good.

    `books_years` is for how many years after the end of a calendar year the law keeps what its books rest on, such as
    § 147 AO and § 257 HGB: until then, nobody's erasure takes that.
    """

    payload_months: Annotated[int, Field(ge=1, le=1_200)] | None = None
    books_years: Annotated[int, Field(ge=0, le=100)] = 10


class LakeSettings(_Frozen):
    """For how long past states of the lake can be looked at: all of them, those of reporting runs, of month-ends.

    The state of a month-end is that of the last reporting run of a calendar month.
    """

    keep_states_days: Annotated[int, Field(ge=1, le=36_500)] = 35
    keep_runs_days: Annotated[int, Field(ge=1, le=36_500)] = 400
    keep_month_ends_months: Annotated[int, Field(ge=1, le=1_200)] = 120


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
    audit: AuditSettings = AuditSettings()
    retention: RetentionSettings = RetentionSettings()
    lake: LakeSettings = LakeSettings()


class DutySettings(_Frozen):
    """Who clears exceptions of a class or code, within how many hours, and where it is written how."""

    owner: Owner | None = None
    within_hours: Annotated[int, Field(ge=1, le=24 * 365)]
    runbook: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


def _known_code(code: str) -> str:
    if code not in FAULTS:
        raise ValueError("no exception has this code; docs/operations.md has them all")
    return code


class ExceptionSettings(_Frozen):
    """Duties by class, and of codes that differ from their class; what is left out is as shipped.

    An exception that holds back `large_minutes` or more, or more than one of `large_amounts`, is one step more urgent.
    """

    classes: Mapping[FaultClass, DutySettings] = {}
    codes: Mapping[Annotated[str, AfterValidator(_known_code)], DutySettings] = {}
    large_minutes: Annotated[int, Field(ge=1)] = 2_400
    large_amounts: tuple[AmountSettings, ...] = ()


class CustomerFieldSettings(_Frozen):
    """The system of record of a customer's field, and what becomes of what another one says."""

    owner: Literal["crm", "erp"]
    on_change: OnChange


class EmployeeFieldSettings(_Frozen):
    """The same of an employee's field."""

    owner: Literal["hr", "psa"]
    on_change: OnChange


class ProjectFieldSettings(_Frozen):
    """The same of a project's field."""

    owner: Literal["psa", "erp"]
    on_change: OnChange


class ContractFieldSettings(_Frozen):
    """The same of a contract's field."""

    owner: Literal["crm", "psa"]
    on_change: OnChange


_CRM_IGNORES = CustomerFieldSettings(owner="crm", on_change=OnChange.IGNORE)
_CRM_PROPOSES = CustomerFieldSettings(owner="crm", on_change=OnChange.PROPOSE)
_HR_IGNORES = EmployeeFieldSettings(owner="hr", on_change=OnChange.IGNORE)
_HR_PROPOSES = EmployeeFieldSettings(owner="hr", on_change=OnChange.PROPOSE)


class CustomerOwnership(_Frozen):
    """Whose each field of a customer is."""

    name: CustomerFieldSettings = _CRM_IGNORES
    country: CustomerFieldSettings = _CRM_PROPOSES


class EmployeeOwnership(_Frozen):
    """Whose each field of an employee is."""

    name: EmployeeFieldSettings = _HR_IGNORES
    email: EmployeeFieldSettings = _HR_PROPOSES


class ProjectOwnership(_Frozen):
    """Whose each field of a project is."""

    name: ProjectFieldSettings = ProjectFieldSettings(owner="psa", on_change=OnChange.IGNORE)


class ContractOwnership(_Frozen):
    """Whose each field of a contract is."""

    currency: ContractFieldSettings = ContractFieldSettings(owner="crm", on_change=OnChange.IGNORE)


class FieldOwnership(_Frozen):
    """The system of record of every field that several systems hold."""

    customer: CustomerOwnership = CustomerOwnership()
    employee: EmployeeOwnership = EmployeeOwnership()
    project: ProjectOwnership = ProjectOwnership()
    contract: ContractOwnership = ContractOwnership()


Trigger = Literal["approved", "submitted"]


class BillingTriggers(_Frozen):
    """From which state on work of a kind is billed."""

    time_entry: Trigger = "approved"
    expense: Trigger = "approved"
    milestone: Trigger = "approved"


class OwnershipSettings(_Frozen):
    """Who decides what about records that several systems hold, and what a PSA's approval states mean.

    A PSA that is left out of `approval_states` has the states that its connector ships with.
    """

    fields: FieldOwnership = FieldOwnership()
    stewards: Mapping[LinkType, tuple[Name, ...]] = {}
    approval_states: Mapping[Literal["clockify", "kantata"], Mapping[Name, ApprovalState]] = {}
    billing_triggers: BillingTriggers = BillingTriggers()


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


class GroupRoleSettings(_Frozen):
    """Whoever is in a group of the provider has a role, in some legal entities or (left out) in all of them."""

    group: Name
    role: Role
    legal_entities: Annotated[tuple[str, ...] | None, Field(min_length=1)] = None

    @model_validator(mode="after")
    def _an_admin_is_one_for_all(self) -> "GroupRoleSettings":
        if self.role is Role.ADMIN and self.legal_entities is not None:
            raise ValueError("an admin is one for all legal entities; leave legal_entities out")
        return self


class OpenIdSettings(_Frozen):
    """The OpenID provider with which people sign in, as its administration shows it.

    `login_claim` names the claim that becomes the account's name here; it must be one that people cannot change
    themselves, such as a verified address of the company's. `groups_claim` is where the provider puts groups.
    """

    label: Name = "your company's account"
    issuer: Url
    client_id: Name
    client_secret: SecretName
    scopes: tuple[Name, ...] = ("openid", "profile", "email")
    login_claim: Name = "email"
    groups_claim: Name = "groups"
    roles: tuple[GroupRoleSettings, ...] = ()


class AccessSettings(_Frozen):
    """Who may sign in, and for how long. Without `openid` there are accounts of this installation alone."""

    idle_minutes: Annotated[int, Field(gt=0)] = 8 * 60
    longest_hours: Annotated[int, Field(gt=0)] = 7 * 24
    link_hours: Annotated[int, Field(gt=0)] = 24
    passwords: bool = True
    openid: OpenIdSettings | None = None

    @model_validator(mode="after")
    def _somebody_can_sign_in(self) -> "AccessSettings":
        if not self.passwords and self.openid is None:
            raise ValueError("without passwords and without openid nobody could sign in")
        return self


class MailSettings(_Frozen):
    """The mail server that messages go through, and from whom they are.

    `security` is how the connection is encrypted: tls from its first byte, or starttls. Without user and password the
    server takes mail from this machine as it is. `ca_file` is the authority of a company's own server.
    """

    host: Name
    port: Annotated[int, Field(gt=0, lt=65_536)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: Name | None = None
    password: SecretName | None = None
    sender: MailAddress
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _nothing_is_readable_on_the_way(self) -> "MailSettings":
        if self.security == "none" and self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("security: none is for a server on this machine; write starttls or tls")
        if (self.user is None) != (self.password is None):
            raise ValueError("write both user and password, or neither")
        return self


class HookSettings(_Frozen):
    """An address that messages are posted to, signed as Standard Webhooks with each of the live secrets.

    `secrets` names a secret with all live ones, separated by commas, the newest first.
    """

    url: Url
    secrets: SecretName

    @model_validator(mode="after")
    def _nobody_else_reads_it(self) -> "HookSettings":
        if not re.match(r"https://|http://(127\.0\.0\.1|localhost|\[::1\])[:/]", self.url):
            raise ValueError("write an https:// address; http:// is for this machine alone")
        return self


class NotificationRouteSettings(_Frozen):
    """Who is told of what; what is left out stands for everything.

    Everything within `digest_minutes` of the message before is one message. `at_least` is the least priority.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
    events: Annotated[tuple[NoticeKind, ...], Field(min_length=1)] = tuple(NoticeKind)
    classes: tuple[FaultClass, ...] = ()
    at_least: Priority = Priority.LOW
    legal_entities: tuple[str, ...] = ()
    digest_minutes: Annotated[int, Field(ge=0, le=7 * 24 * 60)] = 15
    emails: tuple[MailAddress, ...] = ()
    webhooks: tuple[HookSettings, ...] = ()

    @model_validator(mode="after")
    def _goes_somewhere(self) -> "NotificationRouteSettings":
        if not self.emails and not self.webhooks:
            raise ValueError("the route goes nowhere: write emails or webhooks")
        return self


class NotificationSettings(_Frozen):
    """Who is told of trouble, and through which mail server. Without routes nobody is."""

    mail: MailSettings | None = None
    routes: tuple[NotificationRouteSettings, ...] = ()

    @model_validator(mode="after")
    def _routes_are_told_apart_and_can_be_served(self) -> "NotificationSettings":
        names = [route.name for route in self.routes]
        if len(set(names)) != len(names):
            raise ValueError("two routes have one name")
        if self.mail is None and any(route.emails for route in self.routes):
            raise ValueError("a route has emails, and there is no mail server: write mail")
        return self


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
    ownership: OwnershipSettings = OwnershipSettings()
    access: AccessSettings
    exceptions: ExceptionSettings
    notifications: NotificationSettings = NotificationSettings()
    console_url: str
    dagster_url: str
    traces_url: str | None = None
    traces_ratio: float = 1.0
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
        "ownership": OwnershipSettings,
        "exceptions": ExceptionSettings,
        "access": AccessSettings,
        "notifications": NotificationSettings,
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
        openid = read["access"].openid
        named = [
            (("openid", "roles", number, "legal_entities", place), code)
            for number, group in enumerate(openid.roles if openid is not None else ())
            for place, code in enumerate(group.legal_entities or ())
        ]
        problems += _cross_check(config_dir / "access.yaml", texts["access"], read["company"], named)
        named = [
            (("routes", number, "legal_entities", place), code)
            for number, route in enumerate(read["notifications"].routes)
            for place, code in enumerate(route.legal_entities)
        ]
        problems += _cross_check(config_dir / "notifications.yaml", texts["notifications"], read["company"], named)
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
        ownership=read["ownership"],
        exceptions=read["exceptions"],
        access=read["access"],
        notifications=read["notifications"],
        console_url=env.get("PSA_ERP_CONSOLE_URL") or "http://127.0.0.1:8080",
        dagster_url=env.get("PSA_ERP_DAGSTER_URL") or "http://127.0.0.1:3000",
        traces_url=_traces_url(env),
        traces_ratio=_traces_ratio(env),
        secrets={name: SecretStr(value) for name, value in secrets.items()},
    )


def _traces_url(env: Mapping[str, str]) -> str | None:
    """Where spans are posted to, as OpenTelemetry's own variables say; None where they name no collector."""
    exact, base = env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), env.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return exact or (f"{base.rstrip('/')}/v1/traces" if base else None)


def _traces_ratio(env: Mapping[str, str]) -> float:
    """The share of traces that are exported, all unless OpenTelemetry's own variable says less."""
    text = env.get("OTEL_TRACES_SAMPLER_ARG") or "1"
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise ConfigError(["OTEL_TRACES_SAMPLER_ARG: write the share of traces to export, from 0 to 1"])
    return ratio


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


_FIXES = {
    "missing": "; add it, as in data/config of the project",
    "extra_forbidden": "; take it out, or correct its name: nothing reads it",
    "decimal_parsing": '; write a number in quotes, as "0.05"',
    "int_parsing": "; write a whole number",
    "bool_parsing": "; write true or false",
    "date_from_datetime_parsing": "; write a day as 2026-09-01",
}
"""What to do, where pydantic's message says only what is wrong."""


def _explain(path: Path, text: str, error: ValidationError, prefix: tuple[str, ...]) -> list[str]:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    lines = []
    for problem in error.errors():
        location = tuple(problem["loc"])[len(prefix) :]
        name = ".".join(str(part) for part in location) or "the file"
        fix = _FIXES.get(problem["type"], "")
        lines.append(f"{path}:{_line_of(root, location)}: {name}: {problem['msg']}{fix}")
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
