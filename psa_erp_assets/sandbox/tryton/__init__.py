"""A real Tryton for the demo and the tests: built, seeded, served, and worked with as finance would."""
