"""How a message leaves: by mail through a company's server, or posted to an address and signed.

A failure says what kind it was and repeats nothing of the message, the credentials or the other side's text.
"""

import base64
import datetime as dt
import hmac
import json
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

import httpx

from psa_erp_assets.domain.signatures import standard_key
from psa_erp_assets.settings import MailSettings

_SECONDS = 20.0
_USER_AGENT = "psa-erp-assets/0.1 (+notifications)"


class NotTakenError(Exception):
    """The message was not taken. `for_good` where trying again is of no use."""

    def __init__(self, what: str, *, for_good: bool = False) -> None:
        super().__init__(what)
        self.for_good = for_good


def send_mail(
    mail: MailSettings, password: str | None, *, to: str, subject: str, text: str, number: str, at: dt.datetime
) -> None:
    """Hand one mail to the server. Raises NotTakenError.

    The id of the mail is made of `number`: where it has to be sent again, a mailbox knows it.
    """
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = mail.sender, to, subject
    message["Date"], message["Message-ID"] = format_datetime(at), f"<{number}@{mail.sender.partition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    try:
        with _connect(mail) as server:
            if mail.user is not None and password is not None:
                server.login(mail.user, password)
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        code = next(iter(error.recipients.values()))[0]
        raise NotTakenError(f"the mail server refuses the recipient ({code})", for_good=code >= 500) from None
    except smtplib.SMTPAuthenticationError as error:
        raise NotTakenError(f"the mail server refuses the user or the password ({error.smtp_code})") from None
    except smtplib.SMTPResponseException as error:
        raise NotTakenError(f"the mail server answers {error.smtp_code}") from None
    except ssl.SSLError as error:
        raise NotTakenError(f"no encrypted connection to the mail server ({type(error).__name__})") from None
    except (smtplib.SMTPException, OSError) as error:
        raise NotTakenError(f"no answer from the mail server ({type(error).__name__})") from None


def _connect(mail: MailSettings) -> smtplib.SMTP:
    context = ssl.create_default_context(cafile=None if mail.ca_file is None else str(mail.ca_file))
    if mail.security == "tls":
        return smtplib.SMTP_SSL(mail.host, mail.port, timeout=_SECONDS, context=context)
    server = smtplib.SMTP(mail.host, mail.port, timeout=_SECONDS)
    if mail.security == "starttls":
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
    return server


def post_hook(url: str, secrets: Sequence[str], *, number: str, body: Mapping[str, Any], at: dt.datetime) -> None:
    """Post a body to an address with the headers of Standard Webhooks. Raises NotTakenError.

    Signed with every live secret, so that a receiver may change to a new one at any time.
    Source: Standard Webhooks 1.0, https://www.standardwebhooks.com.
    """
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    stamp = str(int(at.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": _USER_AGENT,
        "webhook-id": number,
        "webhook-timestamp": stamp,
        "webhook-signature": sign(secrets, number=number, stamp=stamp, content=content),
    }
    try:
        # A proxy of the environment cannot reach this machine's own loopback; a redirect would carry the signature on.
        own = httpx.URL(url).host in ("127.0.0.1", "::1", "localhost")
        answer = httpx.post(url, content=content, headers=headers, timeout=_SECONDS, trust_env=not own)
    except httpx.HTTPError as error:
        raise NotTakenError(f"no answer ({type(error).__name__})") from None
    if answer.status_code == 410:
        raise NotTakenError("answered 410: it wants no more messages", for_good=True)
    if not answer.is_success:
        raise NotTakenError(f"answered {answer.status_code}")


def sign(secrets: Sequence[str], *, number: str, stamp: str, content: bytes) -> str:
    """The signatures of a message, one a secret. Raises NotTakenError where none of them is a key."""
    signed = f"{number}.{stamp}.".encode() + content
    keys = [key for key in map(standard_key, secrets) if key]
    if not keys:
        raise NotTakenError("no secret is whsec_ and base64")
    return " ".join(f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}" for key in keys)
