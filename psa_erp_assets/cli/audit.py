"""`psa-erp audit`: verify the log, prove entries, sign checkpoints, show the key, erase personal data."""

import json
from pathlib import Path
from typing import Annotated

import typer

from psa_erp_assets.cli.options import Json, planner
from psa_erp_assets.cli.output import emit, explained, fail, print_table, progress, stderr, stdout
from psa_erp_assets.services import audit_erasure, audit_log
from psa_erp_assets.services.plain import to_plain
from psa_erp_assets.services.runtime import open_prepared
from psa_erp_assets.settings import load_settings

app = typer.Typer(help="The audit log: verify it, prove entries, erase personal data.", no_args_is_help=True)


@app.command()
def verify(as_json: Json = False) -> None:
    """Compare every entry with its row, and the log with every signed checkpoint. Fails where anything differs."""
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime, progress() as bar:
            task = bar.add_task("entries", total=None)
            report = audit_log.verify(
                runtime.engine,
                settings,
                now=runtime.clock(),
                on_step=lambda done, of: bar.update(task, completed=done, total=of),
            )
    found = report.findings
    body = to_plain(found) | {"holds": found.holds, "waiting": report.waiting, "public_key": report.public_key}

    def tables() -> None:
        stdout.print(
            f"{found.leaves:,} entries, {found.checkpoints:,} checkpoints, {found.erased:,} erasures,"
            f" {sum(report.waiting.values()):,} rows waiting, {found.unchecked:,} entries under no checkpoint yet."
        )
        stdout.print(f"Public key: {report.public_key}", highlight=False, soft_wrap=True)
        if found.problems:
            rows = [(p.what, "" if p.seq is None else str(p.seq), p.detail) for p in found.problems[:50]]
            print_table("Problems", ("what", "entry", "detail"), rows, empty="none")
        else:
            stdout.print("Everything is as it was signed.")

    emit(as_json, lambda: body, tables)
    if not found.holds:
        fail(f"the audit log does not hold: {found.count} problems", "docs/audit.md says what each means.")


@app.command()
def prove(
    wanted: Annotated[str, typer.Argument(help="The number of an entry, or a subject, all of whose entries count.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the proof to this file.")] = None,
    as_json: Json = False,
) -> None:
    """A proof that entries are in the log as signed, which anybody can check without us: see docs/audit.md."""
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime, runtime.engine.connect() as connection:
            proof = audit_log.prove(connection, settings, wanted)
        if out is None:
            emit(True, lambda: proof, lambda: None)
            return
        out.write_text(json.dumps(proof, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        body = {"file": str(out), "entries": len(proof["entries"]), "size": proof["size"]}
        emit(as_json, lambda: body, lambda: stdout.print(f"{body['entries']} entries proved in {out}."))


@app.command()
def key(as_json: Json = False) -> None:
    """The public key that checkpoints are signed with. Keep it somewhere else, to know later that it is the same."""
    with explained():
        public = audit_log.signing_key(load_settings()).public
        emit(as_json, lambda: {"public_key": public}, lambda: stdout.print(public, highlight=False, soft_wrap=True))


@app.command()
def checkpoint(as_json: Json = False) -> None:
    """Put what waits into the log and sign its new root."""
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime, stderr.status("sealing") as shown:
            report = audit_log.seal(
                runtime.engine,
                settings,
                now=runtime.clock(),
                on_step=lambda done, of: shown.update(f"sealing: {done:,} entries, {of}"),
            )
        signed = f"checkpoint {report.checkpoint} signed" if report.checkpoint else "nothing new to sign"
        emit(
            as_json,
            lambda: to_plain(report),
            lambda: stdout.print(f"{sum(report.added.values()):,} entries added, {report.size:,} in all; {signed}."),
        )


@app.command()
def erase(
    person: Annotated[str, typer.Option("--person", help="The id that the PSA has for them.")],
    why: Annotated[str, typer.Option("--why", help="On what ground, for the record.")],
    by: Annotated[str | None, typer.Option("--by", help="Who you are; else whoever is logged in.")] = None,
    forget_states: Annotated[
        bool, typer.Option("--forget-states", help="Forget all older states of the lake at once, of everybody.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Erase a person's data: what newer versions have replaced, and all of it when the law does not keep it any more.

    The log stays verifiable, and says who and why. docs/audit.md says what stays, and until when.
    """
    with explained():
        settings = load_settings()
        with open_prepared(settings) as runtime:
            report = audit_erasure.erase_person(
                runtime.engine,
                settings,
                person,
                reason=why,
                actor=planner(by),
                now=runtime.clock(),
                lake=runtime.lake,
                forget_states=forget_states,
            )
        rows = [(name, count, report.kept.get(name, 0)) for name, count in sorted(report.erased.items())]
        rows += [(name, 0, count) for name, count in sorted(report.kept.items()) if name not in report.erased]
        rows += [(f"lake: {name}", count, 0) for name, count in sorted(report.in_lake.items())]

        def tables() -> None:
            print_table("Erasure", ("table", "erased", "kept by law"), rows, empty="nothing is kept")
            if report.unsettled:
                stdout.print(f"{report.unsettled:,} postings of theirs still wait for something: erase again then.")
            elif report.kept_until is not None:
                stdout.print(f"What is kept may be erased from {report.kept_until} on.")
            if report.lake_states_kept:
                stdout.print("Older states of the lake still have it, until maintenance forgets them.")

        emit(as_json, lambda: to_plain(report), tables)
