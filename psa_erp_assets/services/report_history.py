"""Reports as they stood at an earlier run: what the console needs of the lake's past."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from psa_erp_assets.adapters.lake import LakeError
from psa_erp_assets.adapters.reporting_file import Publication, Reader, ReportingFileError
from psa_erp_assets.domain.report_changes import Change, Measure
from psa_erp_assets.services import as_of
from psa_erp_assets.services.as_of import ReportingRun
from psa_erp_assets.services.runtime import Runtime


class ReportHistory(Protocol):
    """Earlier runs. Each raises OperatorError where a run is none or its state is gone."""

    def runs(self) -> Sequence[ReportingRun]:
        """The runs that can be read, the latest first."""

    def open(self, run: int) -> contextlib.AbstractContextManager[Reader]:
        """A reader of the marts as they stood at a run. Raises ReportingFileError where the lake is out of reach."""

    def changes(
        self, before: int, after: int, *, legal_entity: str | None, month: str | None, measure: Measure | None
    ) -> Sequence[Change]:
        """What differs between two runs, by cause."""


class LakeHistory:
    """The history that the lake of a runtime keeps."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def runs(self) -> Sequence[ReportingRun]:
        """The runs that can be read, the latest first."""
        return [run for run in as_of.runs(self._runtime) if run.kept]

    @contextlib.contextmanager
    def open(self, run: int) -> Iterator[Reader]:
        """A reader of the marts as they stood at a run. Raises OperatorError and ReportingFileError."""
        found = as_of.find_run(self._runtime, str(run))
        try:
            with as_of.state(self._runtime, found) as connection:
                yield Reader(
                    connection, Publication(published_at=found.published_at, lake_snapshot=found.lake_snapshot)
                )
        except LakeError as error:
            raise ReportingFileError("The lake, which has the earlier states, cannot be reached.") from error

    def changes(
        self, before: int, after: int, *, legal_entity: str | None, month: str | None, measure: Measure | None
    ) -> Sequence[Change]:
        """What differs between two runs, by cause. Raises OperatorError."""
        earlier, later = (as_of.find_run(self._runtime, str(run)) for run in (before, after))
        try:
            return as_of.changes(
                self._runtime, earlier, later, legal_entity=legal_entity, service_month=month, measure=measure
            )
        except LakeError as error:
            raise ReportingFileError("The lake, which has the earlier states, cannot be reached.") from error
