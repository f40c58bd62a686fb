"""The worker that lives with the console: it seals the audit log every so often."""

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from psa_erp_assets.services import audit_log
from psa_erp_assets.services.audit_log import AuditLogError
from psa_erp_assets.services.runtime import Runtime

logger = logging.getLogger(__name__)


def work(runtime: Runtime, stop: threading.Event) -> None:
    """Seal until `stop` is set. Trouble is said once a round, and the next round tries again."""
    settings = runtime.settings
    while not stop.is_set():
        try:
            report = audit_log.seal(runtime.engine, settings, now=runtime.clock())
            if report.delivered is False:
                logger.warning("the address in the settings did not take checkpoint %s", report.checkpoint)
        except AuditLogError as error:
            logger.error("the audit log is not sealed: %s", error)
        except (SQLAlchemyError, OSError) as error:
            # The message of a driver can repeat parameters; its type says enough.
            logger.warning("the audit log could not be sealed (%s)", type(error).__name__)
        stop.wait(settings.policies.audit.seal_seconds)
