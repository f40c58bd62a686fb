"""Tryton 8.2 over its JSON-RPC: the posting port, the master data and the read-back of the books."""
