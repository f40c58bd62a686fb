"""The control plane between professional-services automation (PSA) and ERP systems, on Dagster."""
