"""Measurements of the planner against the machine's own floor and against a plain implementation of the same rules.

What belongs here: a month of made-up work at a size that a firm has, and the floor and the peer that planning it is
measured by. What does not: when and with what else they run (`cli.bench`), and the limits' reasons (`docs`).
"""
