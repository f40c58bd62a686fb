"""A second computation of every measure, in pandas, from what the vendors' own APIs answer.

Nothing in this folder imports the product: it has its own requests, its own reading of terms and its own arithmetic,
so that the two can only agree by both being right.
"""
