"""What the sandboxes remember: documents in tables, indexed, and a journal that outlives the process.

A table maps an id to a JSON-able document. Every change goes through `commit`, which appends one line to the
journal before it touches memory; a torn last line, as a crash leaves it, is ignored when the journal is read.
Not safe for threads: one event loop owns a state.
"""

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Document = dict[str, Any]
Tables = Mapping[str, Mapping[str, Document]]
Change = tuple[str, str, Document | None]

JOURNAL = "journal.jsonl"

# Table, name of the index, the keys under which a document is found.
_INDEXES: Mapping[str, Mapping[str, Callable[[Document], Iterable[str]]]] = {
    "time_entries": {"user": lambda d: [d["userId"]], "project": lambda d: [d["projectId"]] if d["projectId"] else []},
    "expenses": {"user": lambda d: [d["userId"]]},
    "tasks": {"project": lambda d: [d["projectId"]]},
    "approvals": {
        "entry": lambda d: d["entryIds"],
        "expense": lambda d: d["expenseIds"],
        "user": lambda d: [d["userId"]],
    },
    "deals": {"company": lambda d: d["companies"]},
    "compensation": {"employee": lambda d: [d["employeeId"]]},
}


class JournalMismatchError(ValueError):
    """The journal on disk was written for another demo company."""


class SandboxState:
    """Tables that start from `initial` and replay the journal in `folder`, if one is given."""

    def __init__(self, initial: Tables, folder: Path | None, fingerprint: str) -> None:
        """Raises JournalMismatchError if the folder's journal belongs to another company."""
        self._initial = initial
        self._fingerprint = fingerprint
        self._path = folder / JOURNAL if folder is not None else None
        self._load()
        if self._path is not None:
            self._replay(self._path)

    def get(self, table: str, key: str) -> Document | None:
        """The document, or None."""
        return self._tables[table].get(key)

    def all(self, table: str) -> list[Document]:
        """Every document of the table, in the order in which they came."""
        return list(self._tables[table].values())

    def find(self, table: str, index: str, key: str) -> list[Document]:
        """The documents that the index has under the key, in the order in which they came to it."""
        rows = self._tables[table]
        return [rows[i] for i in self._indexes[table, index].get(key, ())]

    def commit(self, changes: Sequence[Change]) -> None:
        """Put or (None) delete documents, all or none. On disk when this returns."""
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as journal:
                journal.write(json.dumps(list(changes), separators=(",", ":")) + "\n")
                journal.flush()
                os.fsync(journal.fileno())
        self._apply(changes)

    def reset(self) -> None:
        """Back to the beginning; the journal is replaced by an empty one."""
        if self._path is not None:
            self._start_journal(self._path)
        self._load()

    def _load(self) -> None:
        self._tables: dict[str, dict[str, Document]] = {name: {} for name in self._initial}
        self._indexes: dict[tuple[str, str], dict[str, dict[str, None]]] = {
            (table, index): defaultdict(dict) for table, by_name in _INDEXES.items() for index in by_name
        }
        self._apply([(table, key, row) for table, rows in self._initial.items() for key, row in rows.items()])

    def _replay(self, path: Path) -> None:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._start_journal(path)
            return
        lines = path.read_bytes().split(b"\n")
        head = json.loads(lines[0])
        if head["company"] != self._fingerprint:
            raise JournalMismatchError(
                f"{path} was written for {head['company']}, this is {self._fingerprint}: move it away, or use its seed"
            )
        for line in lines[1:-1]:
            self._apply(json.loads(line))
        if lines[-1]:  # torn by a crash: it was never acknowledged, and the next append must not be glued to it
            os.truncate(path, path.stat().st_size - len(lines[-1]))

    def _start_journal(self, path: Path) -> None:
        fresh = path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(json.dumps({"company": self._fingerprint}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.chmod(0o600)  # webhook tokens are in it
        fresh.replace(path)

    def _apply(self, changes: Iterable[Sequence[Any]]) -> None:
        for table, key, row in changes:
            old = self._tables[table].get(key)
            for index, keys_of in _INDEXES.get(table, {}).items():
                rows_by_key = self._indexes[table, index]
                gone, come = set(keys_of(old)) if old else set(), list(keys_of(row)) if row else []
                for value in gone.difference(come):
                    rows_by_key[value].pop(key, None)
                for value in come:
                    rows_by_key[value][key] = None
            if row is None:
                self._tables[table].pop(key, None)
            else:
                self._tables[table][key] = row
