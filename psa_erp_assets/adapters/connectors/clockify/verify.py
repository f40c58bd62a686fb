"""How Clockify says who sent a delivery and what it is about.

Documentation: "Clockify API", https://docs.clockify.me, section "Webhooks": creating a webhook makes a token, and
each delivery carries it in the clockify-signature header. It is a shared secret and not a signature: it says
who sent the delivery, and nothing of whether the body is as it was sent. A delivery is therefore only a hint.
"""

SIGNATURE_HEADER = "clockify-signature"
EVENT_HEADER = "clockify-webhook-event-type"
