"""`GET /metrics`: figures for Prometheus, in its text format. They say how the sync fares and nothing of its content.

What belongs here: the exposition. What does not: the figures themselves, which are the store's (`services.figures`) or
this server's (`services.receipts`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.pool import QueuePool

from psa_erp_assets.console.access import requires
from psa_erp_assets.domain.access import Actor, Permission
from psa_erp_assets.services.figures import Distribution, Figures, Sample
from psa_erp_assets.services.metric_families import BUCKETS_SECONDS, FAMILIES, Family
from psa_erp_assets.services.receipts import Receipts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _OfServer(Collector):
    """Collects everything at the time of a scrape."""

    def __init__(
        self, engine: Engine, figures: Figures, receipts: Receipts, workers: Callable[[], tuple[int, int]]
    ) -> None:
        self._engine, self._figures, self._receipts, self._workers = engine, figures, receipts, workers

    def collect(self) -> Iterable[Metric]:
        """Every family, also those without a sample, so that an alert on one can be written before it first happens."""
        samples: dict[str, list[Sample]] = {}
        for sample in (*self._figures.read(), *self._receipts.samples(), *self._here()):
            samples.setdefault(sample.name, []).append(sample)
        distributions: dict[str, Mapping[tuple[str, ...], Distribution]] = {
            "psa_erp_erp_call_seconds": self._figures.calls,
            "psa_erp_webhook_receive_seconds": self._receipts.seconds,
        }
        for family in FAMILIES.values():
            if family.kind == "histogram":
                yield _histogram(family, distributions[family.name])
            else:
                yield _values(family, samples.get(family.name, ()))

    def describe(self) -> Iterable[Metric]:
        """Nothing is read when the collector is registered."""
        return ()

    def _here(self) -> Iterator[Sample]:
        expected, alive = self._workers()
        yield Sample("psa_erp_background_workers", ("expected",), expected)
        yield Sample("psa_erp_background_workers", ("alive",), alive)
        pool = self._engine.pool
        if isinstance(pool, QueuePool):
            yield Sample("psa_erp_database_pool_connections", ("in_use",), pool.checkedout())
            yield Sample("psa_erp_database_pool_connections", ("idle",), pool.checkedin())
            yield Sample("psa_erp_database_pool_connections", ("at_most",), pool.size() + pool._max_overflow)  # noqa: SLF001 - it has no other name


def metrics_router(
    engine: Engine, figures: Figures, receipts: Receipts, workers: Callable[[], tuple[int, int]]
) -> APIRouter:
    """The route. `workers` gives how many background workers should live, and how many do."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_OfServer(engine, figures, receipts, workers))
    router = APIRouter()

    @router.get("/metrics", include_in_schema=False)
    def metrics(_: Annotated[Actor, Depends(requires(Permission.MONITOR))]) -> Response:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE})

    return router


def _values(family: Family, samples: Sequence[Sample]) -> Metric:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.meaning, labels=family.labels)
    for sample in samples:
        metric.add_metric(sample.labels, sample.value)
    return metric


def _histogram(family: Family, found: Mapping[tuple[str, ...], Distribution]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
    bounds = [*map(str, BUCKETS_SECONDS), "+Inf"]
    for labels, distribution in sorted(found.items()):
        buckets, so_far = [], 0
        for bound, count in zip(bounds, list(distribution.counts), strict=True):
            so_far += count
            buckets.append((bound, so_far))
        metric.add_metric(labels, buckets, sum_value=distribution.total)
    return metric
