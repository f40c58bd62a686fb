"""What the business means: money, records, decisions, plans and posting states.

Pure: standard library and Decimal, no I/O, no clock, frozen dataclasses. Nothing here knows a vendor,
a database or Dagster.
"""
