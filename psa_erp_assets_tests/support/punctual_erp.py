"""An ERP that does at once what it is asked for, and a runtime that posts to it, for tests of what is posted."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from psa_erp_assets.domain.effects import EffectType, booking_date
from psa_erp_assets.domain.erp import Accepted, Answer, Command, ErpClass, ErpDocument, Rejected, Withdraw
from psa_erp_assets.domain.posting import ON_DOCUMENT
from psa_erp_assets.domain.values import replace
from psa_erp_assets.services.runtime import Runtime
from psa_erp_assets.services.scope import Scope
from psa_erp_assets.settings import load_settings
from psa_erp_assets_tests.support.store import NOW, SCOPE


@dataclass(slots=True)
class PunctualErp:
    """`documents` is what it holds, by its own ids. It refuses what is in `refuses`, by effect type."""

    documents: dict[str, ErpDocument] = field(default_factory=dict)
    refuses: set[EffectType] = field(default_factory=set)
    submitted: int = 0

    @property
    def erp_class(self) -> ErpClass:
        """It finds its documents by their keys."""
        return ErpClass.SEARCHABLE_FIELD

    def submit(self, commands: Sequence[Command]) -> Answer:
        """Do all of it, or none."""
        self.submitted += 1
        for command in commands:
            if isinstance(command, Withdraw):
                if self.documents[command.erp_id].document is not None:
                    return Rejected(code=ON_DOCUMENT, message="it is on an invoice")
            elif command.effect.effect_type in self.refuses:
                return Rejected(code="posting_rejected", message="not today")
        ids: dict[str, str] = {}
        for command in commands:
            if isinstance(command, Withdraw):
                del self.documents[command.erp_id]
                ids[command.key] = command.erp_id
                continue
            ids[command.key] = str(self.submitted * 1000 + len(ids))
            self.documents[ids[command.key]] = ErpDocument(
                key=command.key,
                erp_id=ids[command.key],
                erp_company=command.effect.erp_company,
                effect_type=command.effect.effect_type,
                amount=command.effect.amount,
                minutes=command.effect.minutes,
                date=booking_date(command.effect),
                document=None,
                document_state=None,
                posted=False,
            )
        return Accepted(erp_ids=ids)

    def look_up(
        self, erp_company: str, effect_type: EffectType, keys: Sequence[str]
    ) -> Mapping[str, Sequence[ErpDocument]]:
        """All documents under each key."""
        return {
            key: [d for d in self.documents.values() if (d.key, d.erp_company) == (key, erp_company)] for key in keys
        }

    def invoice(self) -> None:
        """Finance puts all billing lines on an invoice and posts it."""
        for erp_id, document in self.documents.items():
            if document.effect_type is EffectType.BILLING_LINE:
                self.documents[erp_id] = replace(document, document="INV-1", document_state="posted", posted=True)


@dataclass(slots=True)
class SetClock:
    """Stands still until a test moves it."""

    now: dt.datetime = NOW

    def __call__(self) -> dt.datetime:
        return self.now

    def later(self, minutes: int = 10) -> dt.datetime:
        """Some minutes later; answers with the time that it is then."""
        self.now += dt.timedelta(minutes=minutes)
        return self.now


@contextmanager
def open_store_runtime(engine: Engine, home: Path, erp: PunctualErp, scope: Scope = SCOPE) -> Iterator[Runtime]:
    """A runtime on this store and ERP, with the shipped settings but for the scope."""
    settings = load_settings({"PSA_ERP_HOME": str(home)})
    assert settings.tenant == scope.tenant
    with ExitStack() as stack:
        runtime = Runtime(settings, stack, SetClock())
        runtime.engine, runtime.erp, runtime.scope = engine, erp, scope  # type: ignore[assignment]
        yield runtime
