"""A Tryton module: an external reference, unique per company, on invoice lines and journal entries."""
