"""What a record is called that cannot be understood."""


class MalformedRecordError(ValueError):
    """A source's record cannot be understood as what it should be.

    `reason` is for an operator: which field, and what is wrong with it; never a name, an e-mail address or a pay
    rate. The record becomes an exception item under `code`, which is one of `faults.FAULTS`, and everything else goes
    on.
    """

    code = "malformed_record"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
