"""The audit log for auditors: a page, the same as an API, and proofs to take away."""

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment
from sqlalchemy import Connection, Engine

from psa_erp_assets.adapters.store.audit_leaves import LeafFilter
from psa_erp_assets.console.access import foreign_entity, requires
from psa_erp_assets.console.errors import Refusal
from psa_erp_assets.console.reading import snapshot
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.services.audit_log import AuditLogError, AuditPage, may_prove, page

Prove = Callable[[Connection, str], dict[str, Any]]
"""Makes the proof of an entry's number or of a subject. Raises AuditLogError where there is none."""

_TEXT = r"^[^\x00-\x1f\x7f]{0,300}$"
Kind = Annotated[str, Query(pattern=r"^[a-z_.]{0,60}$", description="Kind of entry, as plan.approved; empty for all.")]
Subject = Annotated[str, Query(pattern=_TEXT, description="Id of what the entry is about; empty for all.")]
Who = Annotated[str, Query(pattern=_TEXT, description="Id of who did it; empty for all.")]
Before = Annotated[int | None, Query(ge=1, le=2**62, description="Entries before this one.")]
Wanted = Annotated[str, Query(pattern=r"^[^\x00-\x1f\x7f]{1,300}$", description="Number of an entry, or a subject.")]
Auditor = Annotated[Actor, Depends(requires(Permission.AUDIT))]


def audit_router(engine: Engine, environment: Environment, *, tenant: str, prove: Prove | None) -> APIRouter:
    """The page /audit and the routes under /api/v1/audit. Without `prove` there are no proofs."""
    router = APIRouter()

    def found(auditor: Actor, kind: str, subject: str, actor: str, before: int | None) -> AuditPage:
        wanted = LeafFilter(
            kind=kind or None,
            subject=subject.strip() or None,
            actor=actor.strip() or None,
            entities=auditor.entities(Permission.AUDIT),
        )
        with snapshot(engine) as connection:
            return page(connection, tenant, wanted, before=before)

    def proof(auditor: Actor, wanted: str) -> JSONResponse:
        if prove is None:
            raise HTTPException(404, "This server has no key to prove entries with.")
        try:
            with snapshot(engine) as connection:
                if not may_prove(connection, tenant, wanted.strip(), auditor.entities(Permission.AUDIT)):
                    raise foreign_entity(Permission.AUDIT)
                body = prove(connection, wanted.strip())
        except AuditLogError as error:
            raise HTTPException(404, f"{error}.") from error
        return JSONResponse(body, headers={"Content-Disposition": 'attachment; filename="audit-proof.json"'})

    @router.get("/audit", include_in_schema=False, response_class=HTMLResponse)
    def read_page(
        auditor: Auditor, kind: Kind = "", subject: Subject = "", actor: Who = "", before: Before = None
    ) -> HTMLResponse:
        chosen = {"kind": kind, "subject": subject.strip(), "actor": actor.strip()}
        kept = urlencode({name: value for name, value in chosen.items() if value})
        body = environment.get_template("audit.html").render(
            log=found(auditor, kind, subject, actor, before),
            chosen=chosen,
            filtered=bool(kept),
            first=before is None,
            page_link="/audit?" + (f"{kept}&" if kept else ""),
            proofs=prove is not None,
        )
        return HTMLResponse(body)

    @router.get("/audit/proof", include_in_schema=False)
    def download(auditor: Auditor, wanted: Wanted) -> JSONResponse:
        return proof(auditor, wanted)

    @router.get(
        "/api/v1/audit",
        tags=["reading"],
        summary="The audit log",
        responses={422: {"model": Refusal, "description": "A part of the address is not understood."}},
    )
    def read_log(
        auditor: Auditor, kind: Kind = "", subject: Subject = "", actor: Who = "", before: Before = None
    ) -> AuditPage:
        """50 entries, latest first, what waits, the last checkpoint and the last verification."""
        return found(auditor, kind, subject, actor, before)

    @router.get(
        "/api/v1/audit/proof",
        tags=["reading"],
        summary="Proof that entries are in the log",
        response_model=dict[str, Any],
        responses={
            404: {"model": Refusal, "description": "No such entry is under a checkpoint."},
            422: {"model": Refusal, "description": "A part of the address is not understood."},
        },
    )
    def read_proof(auditor: Auditor, wanted: Wanted) -> JSONResponse:
        """Leaf, document and path to the signed root of each entry; docs/audit.md says how to check it."""
        return proof(auditor, wanted)

    return router
