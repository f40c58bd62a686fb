"""One package a vendor: a client that speaks its API, and pure functions from its records to canonical ones."""
