"""Use cases: one function each, one transaction each, with everything they need handed to them."""
