"""What a request for a subscription asks for: its fields, checked. Every refusal is a 400 that names the field.

Pure: whether the resource is there, and whether the caller may see it, is for the handlers to ask.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from agavesh.tenant.fields import choice, text, wrong
from agavesh.tenant.notifications.policy import policy
from agavesh.tenant.notifications.spelling import flag, known
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.words import new_uuid

FIELDS = ("url", "event", "associatedUuid", "persistent", "policy", "status")
TOLD = (  # what records tell besides: a record that is sent back as it came is understood, these are not changed
    "id", "owner", "responseCode", "attempts", "lastSent", "success", "lastUpdated", "created", "_links",
)  # fmt: skip
MOST = 100  # subscriptions that one request of another service may ask for
STATUSES = ("ACTIVE", "INACTIVE")  # those that a request may give

_MAIL = re.compile(r"(?:mailto:)?([^@\s<>,;:\"\\()\[\]]+@[^@\s<>,;:\"\\()\[\]]+)", re.IGNORECASE)
_PHONE = re.compile(r"(?:(?:sms|tel):)?\+?[\d .()/-]+", re.IGNORECASE)
_ODD = re.compile(r"[\x00-\x20\x7f]")


def subscription(body: Any, old: Mapping[str, Any] | None = None, *, place: str = "") -> dict[str, Any]:
    """The fields that a request decides; those that it leaves out are as in `old`, or the defaults.

    `place` names the entry where it stands in another service's request.
    """
    if not isinstance(body, Mapping):
        raise wrong(place.rstrip(".") or "the request", "is an object with url and event")
    asked = known(body, (*FIELDS, *TOLD))
    for name in [name for name, value in asked.items() if value is None]:
        del asked[name]
    found = {name: old[name] for name in FIELDS} if old else {"persistent": False, "status": "ACTIVE"}
    if not old or "url" in asked:
        found["url"] = _url(asked, place)
    if not old or "event" in asked:
        found["event"] = text(asked, "event", longest=128, required=True, place=place)
    if "associatedUuid" in asked:
        found["associatedUuid"] = text(asked, "associatedUuid", longest=64, place=place)
    if "persistent" in asked:
        found["persistent"] = flag(asked, "persistent", False, place=place)
    if "status" in asked:
        found["status"] = choice(asked, "status", STATUSES, place=place)
    if not old or "policy" in asked:
        found["policy"] = policy(_object(asked.get("policy")), place)
    return found


def attempt(body: Any, record: Mapping[str, Any]) -> tuple[str, str]:
    """The event that a subscription is to be told of though it did not happen, and of which thing. Refusal 400."""
    if not isinstance(body, Mapping):
        raise wrong("the request", "is an object with event")
    asked = known(body, ("event", "associatedUuid"))
    event = text(asked, "event", longest=128, required=True)
    if "*" in event or not hears(record["event"], event):
        raise wrong("event", f"is one that the subscription hears, which is to {record['event']}")
    uuid = text(asked, "associatedUuid", longest=64) or record["associatedUuid"]
    if uuid == "*":
        raise Refusal(400, "No associatedUuid given. It is required, as the subscription is to all things.")
    if record["associatedUuid"] not in ("*", uuid):
        raise wrong("associatedUuid", "is that of the subscription")
    return event, uuid


def _object(given: Any) -> Any:
    """An object that a form had to write as text."""
    if not isinstance(given, str):
        return given
    try:
        return msgspec.json.decode(given)
    except (msgspec.DecodeError, UnicodeError):
        return given


def _url(asked: Mapping[str, Any], place: str) -> str:
    url = text(asked, "url", longest=1024, required=True, place=place)
    if len(url) < 4:
        raise wrong(f"{place}url", "has 4 characters at least")
    if mail_address(url):
        return url
    if url.lower().startswith("agave:"):
        raise Refusal(400, f"Invalid value for {place}url: this tenant writes no notifications into files.")
    if _PHONE.fullmatch(url):
        raise Refusal(400, f"Invalid value for {place}url: this tenant sends no text messages.")
    if _ODD.search(url) or not web_host(url):
        raise wrong(f"{place}url", "is an http or https URL or an e-mail address")
    return url


def mail_address(url: str) -> str:
    """The address that mail goes to; "" if it is none."""
    match = _MAIL.fullmatch(url)
    return match[1] if match and "//" not in url else ""


def web_host(url: str) -> str:
    """The host and port of an http or https URL, as it is written there; "" for anything else."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (reading it is what checks it)
    except ValueError:
        return ""
    return parts.netloc.rpartition("@")[2].lower() if parts.scheme in ("http", "https") and parts.hostname else ""


def wanted(given: Any, field: str, *events: str) -> list[dict[str, Any]]:
    """The subscriptions that another service's request asks for in a field, each with the id that it will have.

    An array of them, which a form has as text; or one address, which is told of the first of `events` that happens.
    Refusal 400 that names the field.
    """
    if given in (None, "", []):
        return []
    group = None
    if isinstance(given, str) and not given.lstrip().startswith("["):
        group = secrets.token_hex(8)
        found = [subscription({"url": given, "event": event}, place=f"{field}.") for event in events]
    elif isinstance(array := _object(given), list):
        if len(array) > MOST:
            raise wrong(field, f"has {MOST} entries at most")
        found = [subscription(entry, place=f"{field}[{number}].") for number, entry in enumerate(array)]
    else:
        raise wrong(field, "is an array of objects with url and event")
    return [{**fields, "id": new_uuid("011"), "_group": group} for fields in found]


def hears(pattern: str, event: str) -> bool:
    """Whether a subscription's event, in which `*` stands for any letters, is meant by an event's name.

    No regular expression: both are whatever somebody wrote, and it has to end soon.
    """
    first, *others = pattern.lower().split("*")
    name = event.lower()
    if not others:
        return name == first
    last = others.pop()
    if not name.startswith(first) or not name.endswith(last) or len(name) < len(first) + len(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in others:
        if (found := name.find(part, at, end)) < 0:
            return False
        at = found + len(part)
    return True
