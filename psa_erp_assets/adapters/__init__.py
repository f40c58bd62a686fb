"""All input and output, behind plain functions and small classes. No dagster, no rules of business."""
