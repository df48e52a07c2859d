"""Mail to a subscriber: a message in a folder, for whoever collects it. Nothing is sent from here.

The file has the name of the delivery, so one that is made twice is one message.
"""

from __future__ import annotations

import html
import os
import time
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import SMTPUTF8
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec

LONGEST_SUBJECT = 200  # characters


def message(
    to: str, *, kind: str, event: str, delivery: str, happened: float, record: Mapping[str, Any], data: Any
) -> bytes:
    """A message that tells of an event of a thing, as text and as HTML with the same data."""
    name = record.get("name") or record.get("id") or record.get("uuid") or ""
    subject = " ".join(f"{kind} {name}: {event}".split())[:LONGEST_SUBJECT]
    shown = msgspec.json.format(msgspec.json.encode(data), indent=2).decode()
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(happened))
    mail = EmailMessage(SMTPUTF8)
    mail["From"] = "Agave notifications <notifications@localhost>"
    mail["To"] = to
    mail["Subject"] = _printable(subject)
    mail["Date"] = formatdate(happened)
    mail["Message-ID"] = f"<{delivery}@localhost>"
    mail.set_content(f"{subject}\n{when}\n\n{shown}\n", charset="utf-8")
    mail.add_alternative(
        f"<html><body><p>{html.escape(subject)}<br>{when}</p><pre>{html.escape(shown)}</pre></body></html>",
        subtype="html", charset="utf-8",
    )  # fmt: skip
    return mail.as_bytes()


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def deliver(folder: Path, delivery: str, content: bytes) -> None:
    """Put a message into the folder, all at once. It waits for the disk: call it in a thread. OSError."""
    folder.mkdir(mode=0o700, exist_ok=True)
    part = folder / f".{delivery}"
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
        part.rename(folder / f"{delivery}.eml")
    except OSError:
        part.unlink(missing_ok=True)
        raise
