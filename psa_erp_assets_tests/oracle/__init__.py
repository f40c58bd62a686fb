"""An independent oracle of the financial core: slow, obvious, in fractions, and without a line of the engine's code.

It shares with `psa_erp_assets.domain` only the records and terms that go in, and the month as a value. Where the two
disagree, one of them is wrong.
"""
