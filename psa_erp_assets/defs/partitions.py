"""The partitions of everything financial: legal entity × service month.

Legal entities come and go with the settings, so they are dynamic; the asset `legal_entities` keeps the keys. Months
reach a year ahead, because work may be recorded for a date to come.
"""

from collections.abc import Iterable, Mapping

import dagster as dg

from psa_erp_assets.domain.calendar import ServiceMonth

Partition = tuple[str, str]
"""Legal entity and service month, as the services take them."""

ENTITY, MONTH = "legal_entity", "service_month"
FIRST_MONTH = "2020-01"
_MONTHS_AHEAD = 13

LEGAL_ENTITIES = dg.DynamicPartitionsDefinition(name=ENTITY)
SERVICE_MONTHS = dg.MonthlyPartitionsDefinition(start_date=FIRST_MONTH, fmt="%Y-%m", end_offset=_MONTHS_AHEAD)
PARTITIONS = dg.MultiPartitionsDefinition({ENTITY: LEGAL_ENTITIES, MONTH: SERVICE_MONTHS})


def key_of(partition: Partition) -> dg.MultiPartitionKey:
    """The partition key of an entity and month. Raises ValueError for what is no month."""
    return dg.MultiPartitionKey({ENTITY: partition[0], MONTH: str(ServiceMonth.parse(partition[1]))})


def partition_of(key: str) -> Partition:
    """The entity and month of a key such as UK|2026-09, however it was typed. Dagster sorts the dimensions by name."""
    entity, _, month = key.partition("|")
    return entity, str(ServiceMonth.parse(month))


def lake_keys(partition: Partition) -> Mapping[str, str]:
    """The partition in the lake's columns."""
    return {ENTITY: partition[0], MONTH: partition[1]}


def runnable(partitions: Iterable[Partition]) -> tuple[list[Partition], list[Partition]]:
    """The partitions that have a key here, and those that lie before the first month or too far ahead."""
    months = set(SERVICE_MONTHS.get_partition_keys())
    known: list[Partition] = []
    unknown: list[Partition] = []
    for partition in partitions:
        (known if partition[1] in months else unknown).append(partition)
    return known, unknown
