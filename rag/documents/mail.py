"""E-mail to text: its headers, then its body; attachments are named, not opened."""

from __future__ import annotations

from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import getaddresses, parsedate_to_datetime

from rag.documents.converted import TextWriter, Unreadable, flat
from rag.documents.decode import decode
from rag.documents.markup import html_text

_MAX_PARTS = 1000


def convert_mail(data: bytes, writer: TextWriter) -> None:
    """Write one message.

    Raises:
        Unreadable: There are no headers: it is no message.
    """
    message = BytesParser(policy=policy.default).parsebytes(data)
    assert isinstance(message, EmailMessage)
    if not any(name in message for name in ("from", "to", "subject", "date", "received")):
        raise Unreadable("no e-mail: it has no headers")
    subject = _header(message, "subject")
    sender = _header(message, "from")
    names = [name or address for name, address in getaddresses([sender])]
    about = writer.about
    about.title, about.author = subject, names[0] if names else ""
    about.language = _header(message, "content-language")
    try:
        about.date = parsedate_to_datetime(_header(message, "date")).date().isoformat()
    except (ValueError, TypeError, IndexError):
        about.date = ""
    writer.heading(subject or "(no subject)", 1)
    for name in ("From", "To", "Cc", "Date"):
        if value := _header(message, name):
            writer.item(f"{name}: {value}")
    attached: list[str] = []
    for number, part in enumerate(message.walk()):
        if number >= _MAX_PARTS:
            raise Unreadable(f"more than {_MAX_PARTS:,} parts")
        if file_name := part.get_filename():
            attached.append(flat(file_name))
    body = message.get_body(("plain", "html"))
    if body is not None:
        payload = body.get_payload(decode=True)
        decoded = decode(payload if isinstance(payload, bytes) else b"",
                         declared=body.get_content_charset() or "")  # fmt: skip
        if isinstance(decoded, str):
            raise Unreadable(decoded)
        text, about.encoding = decoded
        if body.get_content_subtype() == "html":
            html_text(text, writer)
        else:
            writer.paragraph(text)
    for name in attached:
        writer.item(f"Attachment: {name}")


def _header(message: EmailMessage, name: str) -> str:
    try:
        return flat(str(message.get(name, "")))
    except (ValueError, IndexError, TypeError, AttributeError):  # the parser of odd addresses
        return ""
