"""Dagster definitions: partitions, resources, assets, checks, sensors, schedules and jobs."""
