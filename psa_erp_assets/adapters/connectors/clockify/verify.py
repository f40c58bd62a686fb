"""Whether a webhook delivery is Clockify's.

Documentation: "Clockify API", https://docs.clockify.me, section "Webhooks": creating a webhook makes a token, and
each delivery carries it in the clockify-signature header. It is a shared secret and not a signature: it says
who sent the delivery, and nothing of whether the body is as it was sent. A delivery is therefore only a hint.
"""

import hmac
from collections.abc import Iterable

SIGNATURE_HEADER = "clockify-signature"
EVENT_HEADER = "clockify-webhook-event-type"


def is_authentic(signature: str | None, tokens: Iterable[str]) -> bool:
    """Whether `signature` is one of the live tokens: each registered webhook has its own, and one being renewed two.

    Takes as long for a wrong token as for a right one, wherever in the list that is.
    """
    given = (signature or "").encode()
    matches = [hmac.compare_digest(given, token.encode()) for token in tokens if token]
    return any(matches)
