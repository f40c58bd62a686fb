"""The HTTP API: the same records as on the pages, as JSON. Amounts are strings with their currency beside them."""

from fastapi import APIRouter
from sqlalchemy import Engine

from psa_erp_assets.adapters.store.listings import PostingFilter
from psa_erp_assets.console.access import Viewer, refuse_entity
from psa_erp_assets.console.errors import Refusal
from psa_erp_assets.console.reading import (
    ClassName,
    Code,
    EntityCode,
    EntryId,
    Month,
    OwnerName,
    PageNumber,
    Pending,
    PostingKey,
    Resolved,
    StateName,
    snapshot,
)
from psa_erp_assets.domain.access import Permission
from psa_erp_assets.services.exception_items import (
    ExceptionItem,
    FaultGroup,
    group_exceptions,
    list_exceptions,
)
from psa_erp_assets.services.listings import InboxPage, PostingsPage, inbox_page, postings_page
from psa_erp_assets.services.status import Status, status
from psa_erp_assets.services.trace import PostingStory, Trace, trace, trace_posting

MOST_ITEMS = 1_000


def api_router(engine: Engine, *, tenant: str) -> APIRouter:
    """Routes under /api."""
    router = APIRouter(
        prefix="/api",
        tags=["reading"],
        responses={
            422: {"model": Refusal, "description": "A part of the address is not understood."},
            503: {"model": Refusal, "description": "The store cannot be reached."},
        },
    )

    @router.get("/status", summary="Where the sync stands")
    def read_status(actor: Viewer) -> Status:
        """Counts of what came in, waits, is posted and is in trouble."""
        with snapshot(engine) as connection:
            return status(connection, tenant, actor.entities(Permission.VIEW))

    @router.get("/inbox", summary="What came in")
    def read_inbox(actor: Viewer, page: PageNumber = 1, pending: Pending = False) -> InboxPage:
        """The newest webhook deliveries and a page of payload versions, latest first.

        They are of no legal entity yet, so it takes a role for all of them.
        """
        refuse_entity(actor, Permission.VIEW, None)
        with snapshot(engine) as connection:
            return inbox_page(connection, tenant, page=page, pending=pending)

    @router.get("/postings", summary="Postings")
    def read_postings(
        actor: Viewer, state: StateName = "", entity: EntityCode = "", month: Month = "", page: PageNumber = 1
    ) -> PostingsPage:
        """A page of postings, latest change of state first."""
        wanted = PostingFilter(
            state=state or None,
            legal_entity=entity or None,
            service_month=month or None,
            entities=actor.entities(Permission.VIEW),
        )
        with snapshot(engine) as connection:
            return postings_page(connection, tenant, wanted, page=page)

    @router.get(
        "/postings/{key}", summary="One posting", responses={404: {"model": Refusal, "description": "No such posting."}}
    )
    def read_posting(actor: Viewer, key: PostingKey) -> PostingStory:
        """A posting, everything that happened to it, and the ERP's document."""
        with snapshot(engine) as connection:
            story = trace_posting(connection, tenant, key)
        refuse_entity(actor, Permission.VIEW, story.legal_entity)
        return story

    @router.get("/exceptions", summary="Items in trouble")
    def read_exceptions(
        actor: Viewer,
        code: Code = "",
        fault_class: ClassName = None,
        owner: OwnerName = None,
        resolved: Resolved = False,
    ) -> list[ExceptionItem]:
        """Open items, oldest first, or resolved ones, latest first: the first 1,000."""
        with snapshot(engine) as connection:
            items = list_exceptions(
                connection,
                tenant,
                resolved=resolved,
                code=code or None,
                fault_class=fault_class,
                owner=owner,
                entities=actor.entities(Permission.VIEW),
                limit=MOST_ITEMS,
            )
        return list(items)

    @router.get("/exceptions/groups", summary="Items in trouble, by code")
    def read_exception_groups(actor: Viewer) -> list[FaultGroup]:
        """Open items counted by code, the most frequent first, each with its next step."""
        with snapshot(engine) as connection:
            return list(group_exceptions(connection, tenant, actor.entities(Permission.VIEW)))

    @router.get(
        "/trace/{entry_id:path}",
        summary="The story of a piece of work",
        responses={404: {"model": Refusal, "description": "No such work."}},
    )
    def read_trace(actor: Viewer, entry_id: EntryId) -> Trace:
        """From the payloads received to the ERP's documents."""
        with snapshot(engine) as connection:
            story = trace(connection, tenant, entry_id)
        refuse_entity(actor, Permission.VIEW, story.legal_entity)
        return story

    return router
