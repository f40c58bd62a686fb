"""The sections and figures that reports are put together from, by topic: one function each, of a reader and filters.

Rates are made here, of sums that the marts have, because decimals stay exact in Python.
"""
