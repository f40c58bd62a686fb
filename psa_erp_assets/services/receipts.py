"""What became of the webhooks that one server was sent. Nobody else receives them, so this is counted in its memory."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator

from psa_erp_assets.services.figures import Distribution, Sample

UNKNOWN = "unknown"
"""The label of a source that has no configuration: what strangers make up is no label."""


class Receipts:
    """The counts of one server. Counted in its event loop, read by the thread of a scrape."""

    def __init__(self, sources: Iterable[str]) -> None:
        self._known = frozenset(sources)
        self._accepted: Counter[str] = Counter(dict.fromkeys(self._known, 0))
        self._duplicate: Counter[str] = Counter(dict.fromkeys(self._known, 0))
        self._refused: Counter[tuple[str, str]] = Counter()
        self.seconds: dict[tuple[str, ...], Distribution] = {
            (source,): Distribution() for source in sorted({*self._known, UNKNOWN})
        }

    def count(self, source: str, status: int, *, copies: int, began: float) -> None:
        """One webhook was answered; `copies` is how often its body has come, `began` by `time.perf_counter`."""
        name = source if source in self._known else UNKNOWN
        if status == 202:
            self._accepted[name] += 1
            self._duplicate[name] += copies > 1
        else:
            self._refused[name, str(status)] += 1
        self.seconds[name,].observe(time.perf_counter() - began)

    def samples(self) -> Iterator[Sample]:
        """The counts."""
        for source, number in self._accepted.copy().items():
            yield Sample("psa_erp_webhooks_accepted", (source,), number)
        for source, number in self._duplicate.copy().items():
            yield Sample("psa_erp_webhooks_duplicate", (source,), number)
        for labels, number in self._refused.copy().items():
            yield Sample("psa_erp_webhooks_refused", labels, number)
