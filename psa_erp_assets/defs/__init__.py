"""Dagster definitions: partitions, resources, assets, checks, sensors, schedules and jobs. Nothing else imports dagster."""
