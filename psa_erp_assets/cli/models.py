"""`psa-erp models`: what the reporting store has, in the words of its models."""

from typing import Annotated

import typer

from psa_erp_assets.cli.options import Json
from psa_erp_assets.cli.output import emit, explained, print_table
from psa_erp_assets.services import model_docs, reporting
from psa_erp_assets.services.plain import to_plain

Search = Annotated[str, typer.Argument(help="Words in a name, a column or a description; all models without.")]


def models(search: Search = "", as_json: Json = False) -> None:
    """List the SQL models and their columns; with words, only the models that have all of them."""
    with explained():
        docs = model_docs.model_docs(reporting.models(), search)

        def tables() -> None:
            if len(docs) == 1:
                rows = [(c.name, c.type, c.description) for c in docs[0].columns]
                print_table(f"{docs[0].name}: {docs[0].description}", ("column", "type", "meaning"), rows, empty="none")
                return
            rows = [(doc.name, ", ".join(doc.grain), doc.description) for doc in docs]
            print_table("Models", ("model", "one row for each", "meaning"), rows, empty="No model has these words.")

        emit(as_json, lambda: to_plain(docs), tables)
