"""The documents say what the code does: commands, links, exception codes, states, tables and variables that exist."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from psa_erp_assets.adapters.store.schema import metadata
from psa_erp_assets.cli.app import app
from psa_erp_assets.domain.faults import FAULTS, Fault
from psa_erp_assets.domain.plan import Action
from psa_erp_assets.domain.posting import TRANSITIONS, State
from psa_erp_assets.domain.reconcile import NEXT_STEPS, UNEXPLAINED
from psa_erp_assets.settings import REPOSITORY

DOCUMENTS = sorted(
    [
        *REPOSITORY.glob("*.md"),
        *REPOSITORY.glob("docs/**/*.md"),
        *REPOSITORY.glob("dbt_like_sql/**/*.md"),
    ]
)
OPERATIONS = REPOSITORY / "docs" / "operations.md"
ARCHITECTURE = REPOSITORY / "docs" / "architecture.md"

_FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (?P<text>.+)$", re.MULTILINE)
_COMMENT = re.compile(r"\s#.*$")
_VARIABLE = re.compile(r"\bPSA_ERP_[A-Z][A-Z0-9_]*")
_SHELL = {"sh", "bash"}


def of(path: Path) -> str:
    """The test's id of a document."""
    return str(path.relative_to(REPOSITORY))


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def code_of(path: Path) -> Iterator[str]:
    """Every line of a shell block and every piece of inline code, line breaks in it made spaces."""
    text = text_of(path)
    for block in _FENCED.finditer(text):
        if block["language"] in _SHELL:
            yield from block["body"].splitlines()
    for piece in _INLINE.findall(_FENCED.sub("", text)):
        yield " ".join(piece.split())


def commands_of(path: Path, program: str) -> list[list[str]]:
    """The words after `program` of each command that the document shows."""
    found = []
    for line in code_of(path):
        match = re.match(rf"(?:\$ )?(?:\S*/)?{re.escape(program)}(?: (.*))?$", _COMMENT.sub("", line).strip())
        if match:
            found.append(shlex.split(match[1] or ""))
    return found


def problem_with(words: list[str]) -> str | None:
    """Why `psa-erp` would not understand these words; None if it would. Values of arguments are not looked at."""
    command = typer.main.get_command(app)
    rest = list(words)
    while isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        inner = command.commands.get(name)
        if inner is None:
            return f"there is no command {name!r}"
        command = inner
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {
        "--help"
    }
    unknown = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in known]
    return f"no option {unknown[0]}" if unknown else None


def anchors_of(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    texts = (m["text"] for m in _HEADING.finditer(_FENCED.sub("", text_of(path))))
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in texts}


def test_there_are_documents() -> None:
    """With an empty list every other test here would pass."""
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/operations.md"} <= {of(d) for d in DOCUMENTS}


@pytest.mark.parametrize("document", DOCUMENTS, ids=of)
def test_every_psa_erp_command_exists(document: Path) -> None:
    """Somebody types a command from the docs and is told that there is none."""
    wrong = [(words, why) for words in commands_of(document, "psa-erp") if (why := problem_with(words))]
    assert wrong == []


def test_a_command_that_does_not_exist_is_noticed() -> None:
    """The check above would let everything pass."""
    assert problem_with(["plan", "--entity", "UK"]) is None
    assert problem_with(["config", "check"]) is None
    assert problem_with(["replan"]) is not None
    assert problem_with(["config", "repair"]) is not None
    assert problem_with(["plan", "--company", "UK"]) is not None


def test_every_command_is_in_the_docs() -> None:
    """A command is added and nobody can read about it."""
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    shown = {words[0] for document in DOCUMENTS for words in commands_of(document, "psa-erp") if words}
    # `make bench` is how that one is run.
    assert set(command.commands) - shown <= {"bench"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=of)
def test_every_make_target_exists(document: Path) -> None:
    """Somebody types `make …` from the docs and there is no such target."""
    targets = set(re.findall(r"^([a-z-]+):", text_of(REPOSITORY / "Makefile"), re.MULTILINE))
    wanted = {words[0] for words in commands_of(document, "make") if words}
    assert wanted <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=of)
def test_every_relative_link_and_image_resolves(document: Path) -> None:
    """A reader follows a link, or looks for a picture or a section, that is not there."""
    broken = []
    for match in _LINK.finditer(_FENCED.sub("", text_of(document))):
        target, _, anchor = match["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (document.parent / target).resolve() if target else document
        if not path.exists() or (anchor and anchor not in anchors_of(path)):
            broken.append(match["target"])
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=of)
def test_every_file_that_is_named_exists(document: Path) -> None:
    """A document sends its reader to a module that was renamed or removed."""
    sources = (REPOSITORY, REPOSITORY / "psa_erp_assets")
    named = {
        piece
        for piece in code_of(document)
        if re.fullmatch(r"[\w./-]+/[\w.-]+\.(py|sql|toml|txt)", piece) and not piece.startswith((".", "/"))
    }
    assert {piece for piece in named if not any((source / piece).exists() for source in sources)} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=of)
def test_every_variable_is_read_somewhere(document: Path) -> None:
    """Somebody sets a variable from the docs and nothing happens."""
    places = [
        *(REPOSITORY / "psa_erp_assets").rglob("*.py"),
        *(REPOSITORY / "psa_erp_assets_tests").rglob("*.py"),
        *(REPOSITORY / "data" / "config").glob("*.yaml"),
        REPOSITORY / "Makefile",
    ]
    known = {name for place in places if place != Path(__file__) for name in _VARIABLE.findall(text_of(place))}
    assert set(_VARIABLE.findall(text_of(document))) <= known


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda fault: fault.code)
def test_the_runbook_has_every_exception_code(fault: Fault) -> None:
    """An operator looks a code up and finds nothing, or another owner or next step than the console shows."""
    section = re.search(rf"^#### `{fault.code}`\n(.*?)(?=^#|\Z)", text_of(OPERATIONS), re.MULTILINE | re.DOTALL)
    assert section is not None
    assert f"Class `{fault.fault_class.value}`, owner `{fault.owner.value}`." in section[1]
    assert f"**Next step:** {fault.next_step}\n" in section[1]


def test_the_runbook_has_no_code_that_is_gone() -> None:
    """A section stays behind when its code is removed."""
    assert set(re.findall(r"^#### `(\w+)`$", text_of(OPERATIONS), re.MULTILINE)) == set(FAULTS)


def test_the_runbook_has_every_difference_of_the_reconciliation() -> None:
    """An operator meets a class of difference that the table does not have, or marks otherwise than the gate."""
    text = text_of(OPERATIONS)
    for difference, step in NEXT_STEPS.items():
        assert f"| `{difference.value}` | {'no' if difference in UNEXPLAINED else 'yes'} | {step} |" in text


def test_the_architecture_has_every_state_action_and_table() -> None:
    """A state, a plan action or a table is added and the description of the whole does not know it."""
    text = text_of(ARCHITECTURE)
    words = {state.name for state in State}
    words |= {f"`{action.value}`" for action in Action} | {f"`{table.name}`" for table in metadata.tables.values()}
    assert {word for word in words if word not in text} == set()


def test_the_architecture_draws_just_the_transitions_that_there_are() -> None:
    """Somebody reads the picture of the states and finds a way that the engine does not take, or misses one."""
    drawn = set(re.findall(r"^  ([A-Z_]+) --> ([A-Z_]+)", text_of(ARCHITECTURE), re.MULTILINE))
    ways = {(a.name, b.name) for table in TRANSITIONS.values() for a, tos in table.items() for b in tos if a is not b}
    assert drawn == ways
