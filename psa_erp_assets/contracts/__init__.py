"""pandera schemas: what a frame must look like when it crosses from one stage to the next, a module a boundary.

No I/O and no rules of business: a schema says shape and legal values, `domain` says what follows from them.
"""
