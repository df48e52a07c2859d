"""From an event to its subscribers: heard in the transaction that records it, delivered by tasks of the tenant.

What is heard becomes a row for each subscriber before anybody answers, and the row goes when the delivery is over: a
tenant that was killed anywhere goes on at its next start, and a hook may hear a delivery twice, but never not at all.

A subscription that is not persistent hears one event: it stops hearing in the same transaction. Who deletes one ends a
delivery that is under way, too. Events are told in their order, one after the other; one that waits for its next try
lets later ones pass.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import msgspec
import trio

from agavesh.tenant.background import contained, keep_up
from agavesh.tenant.jobs.index import FINAL
from agavesh.tenant.notifications import mail
from agavesh.tenant.notifications.macros import about_whom, expanded, values
from agavesh.tenant.notifications.policy import wait
from agavesh.tenant.notifications.post import Hooks, Outcome
from agavesh.tenant.notifications.resources import NOTIFICATION, find, type_of
from agavesh.tenant.notifications.schedule import Schedule
from agavesh.tenant.notifications.spec import STATUSES, mail_address, web_host
from agavesh.tenant.notifications.subscriptions import Delivery, Message, Subscriptions
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.store import Event, Record, Unwritable, patiently
from agavesh.tenant.words import date, new_uuid

if TYPE_CHECKING:
    from agavesh.tenant.context import Context
    from agavesh.tenant.state import Tenant

log = logging.getLogger(__name__)

MOST_WAITING = 10_000  # deliveries of one subscription: one that does not keep up with so many hears no more
LOOK = 60.0  # seconds after which the clock is looked at again: it may have been set
SOON = 60.0  # seconds: for a delivery that is due by then an idle tenant stays
GONE = ("DELETED", "ERASED")
OF_BYTES = ("length", "type", "mimeType", "nativeFormat", "lastModified")  # fields of a file
SLACK = "hooks.slack.com"  # wants a text, and refuses all else


class Notifications:
    """The subscriptions of a tenant, and what is on its way to them."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self.kept = Subscriptions(tenant.store)
        self._schedule = Schedule()
        self._under_way: dict[str, trio.CancelScope] = {}  # by subscription
        self._wake = trio.Event()
        tenant.store.heard, tenant.store.listens = self.heard, self.listens

    # subscriptions ---------------------------------------------------------------------------------------------------

    def subscribe(self, uuid: str, owner: str, wanted: Sequence[Mapping[str, Any]]) -> None:
        """Make subscriptions to the events of a thing that the owner makes; `wanted` is of `spec.wanted`.

        Call it in the transaction that makes the thing, before the first event that they are to hear of.
        """
        for fields in wanted:
            self.add({**fields, "associatedUuid": uuid}, owner)

    def add(self, fields: Mapping[str, Any], owner: str) -> Record:
        """A new subscription."""
        now = date(time.time())
        record = {
            "id": fields.get("id") or new_uuid(NOTIFICATION), "owner": owner, "url": fields["url"],
            "associatedUuid": fields["associatedUuid"], "event": fields["event"], "responseCode": None, "attempts": 0,
            "lastSent": None, "success": False, "persistent": fields["persistent"], "status": fields["status"],
            "lastUpdated": now, "created": now, "policy": fields["policy"],
            "_about": self._about(fields["associatedUuid"], owner), "_group": fields.get("_group"),
        }  # fmt: skip
        with self._tenant.store.together():
            self.kept.put(record, hearing=record["status"] == "ACTIVE")
            self._tenant.store.event(record["id"], "CREATED", "Notification was created", by=owner)
        return record

    def _about(self, uuid: str, user: str) -> dict[str, str]:
        """The kind of a resource, and its path: what a subscription links to."""
        try:
            found = find(self._tenant, uuid, user)
        except Refusal:
            found = None
        if found is None:
            return {}
        href: str = found.record["_links"]["self"]["href"]
        return {found.kind: unquote(href.removeprefix(self._tenant.url))}

    def change(self, old: Record, fields: Mapping[str, Any], by: str) -> Record:
        """Change what a subscription asks for. Refusal 412 if it has heard its one event."""
        if self.fired(old):
            raise Refusal(412, f"Notification {old['id']} has fired and cannot be updated; subscribe anew.")
        record = {**old, **fields, "lastUpdated": date(time.time())}
        if record["associatedUuid"] != old["associatedUuid"]:
            record["_about"] = self._about(record["associatedUuid"], old["owner"])
        if record["status"] not in STATUSES:
            record["status"] = "ACTIVE"  # it had ended because too much waited for it
        was, now = old["status"] != "INACTIVE", record["status"] != "INACTIVE"
        with self._tenant.store.together():
            self.kept.put(record, hearing=now and (record["persistent"] or not self.kept.waiting(old["id"])))
            self._tenant.store.event(record["id"], "UPDATED", "Notification was updated", by=by)
            if was != now:
                word = "ENABLED" if now else "DISABLED"
                self._tenant.store.event(record["id"], word, f"Notification was {word.lower()}", by=by)
        if now and (first := self.kept.first(record["id"])) is not None:
            self._expect(record, first.due)
        return record

    def fired(self, record: Record) -> bool:
        """Whether a subscription that hears one event has heard it, delivered or not."""
        if record["persistent"]:
            return False
        return record["status"] in ("COMPLETE", "FAILED") or bool(self.kept.waiting(record["id"]))

    def force(self, record: Record, uuid: str, event: str, by: str) -> Record:
        """Deliver an event that did not happen, as if it had: what `attempts` tell of its delivery, which is to come.

        Refusal 412 unless the subscription hears of what happens.
        """
        if self.fired(record) or record["status"] != "ACTIVE":
            raise Refusal(412, f"Notification {record['id']} is not active, or has fired.")
        if (message := self._message(record["owner"], Event(uuid, event, by, ""))) is None:
            raise Refusal(403, f"The owner of notification {record['id']} may not hear of {uuid}.")
        with self._tenant.store.together():
            if not (delivery := self._queued(record, message)):
                raise Refusal(412, f"Too many deliveries wait for notification {record['id']}.")
            self._tenant.store.event(record["id"], "FORCED_ATTEMPT", f"{event} was asked for", by=by)
        return {
            "id": delivery, "url": self._address(record, message), "event": event, "associatedUuid": uuid,
            "startTime": None, "endTime": None, "response": None,
        }  # fmt: skip

    def drop(self, record: Record, by: str) -> None:
        """End a subscription: nothing is delivered after this."""
        with self._tenant.store.together():
            self._tenant.store.event(record["id"], "DELETED", "Notification was deleted", by=by)
            self.kept.drop(record["id"])
            self._tenant.store.forget(record["id"])
        self._schedule.drop(record["id"])
        if (scope := self._under_way.get(record["id"])) is not None:
            scope.cancel()

    # events ----------------------------------------------------------------------------------------------------------

    def listens(self, uuid: str, status: str) -> bool:
        """Whether `heard` may have to do something about an event."""
        return self.kept.maybe_hearing(uuid) or status in FINAL or status in GONE

    def heard(self, event: Event) -> None:
        """An event is being recorded: what is to be told of it is written down in the same transaction."""
        # what happens to subscriptions only those hear of who named one: a tale of every delivery would have no end
        everything = type_of(event.uuid) != NOTIFICATION
        for owner, records in self.kept.hearing(event.uuid, event.status, everything=everything).items():
            if (message := self._message(owner, event)) is not None:
                queued = [delivery for record in records if (delivery := self._queued(record, message))]
                if message.kind == "file":
                    self._tenant.store.at_end(partial(self._look_again, queued, owner, message, event))
        if event.status in FINAL and type_of(event.uuid) == "007":
            self._over(event.uuid)
        if event.status in GONE:
            self._tenant.store.at_end(partial(self._gone, event.uuid))

    def _message(self, user: str, event: Event) -> Message | None:
        """What a subscriber is told of an event; None for who may not know any more, or is gone."""
        if not self._tenant.auth.exists(user):
            return None
        try:
            found = find(self._tenant, event.uuid, user)
            other = find(self._tenant, event.about, user) if event.about else None
        except Refusal:
            return None
        except Unwritable:
            raise
        except Exception:  # the edge: that it cannot be told is no reason to undo what happened
            log.exception("what %s stands for cannot be told", event.uuid)
            found = other = None
        kind, record = (found.kind, found.record) if found is not None else ("resource", {"uuid": event.uuid})
        told = event.told
        if event.about:
            if other is None:
                return None
            told = {kind: record, other.kind: other.record}
        return Message(kind=kind, uuid=event.uuid, event=event.status, record=record, told=told)

    def _queued(self, record: Record, message: Message) -> str:
        """The id of a new delivery; "" if too many wait already."""
        store, now = self._tenant.store, time.time()
        if self.kept.waiting(record["id"]) >= MOST_WAITING:
            log.warning("notification %s ends: %d deliveries wait for it", record["id"], MOST_WAITING)
            self.kept.put({**record, "status": "FAILED", "lastUpdated": date(now)}, hearing=False)
            store.event(record["id"], "FAILURE", f"More than {MOST_WAITING} deliveries wait", by=record["owner"])
            return ""
        delivery = new_uuid("042")
        self.kept.queue(delivery, record["id"], message, now)
        if not record["persistent"]:
            self.kept.put(record, hearing=False)
            self._end_others(record)
        self._expect(record, now)
        return delivery

    def _look_again(self, queued: Sequence[str], user: str, message: Message, event: Event) -> None:
        """Files are put in place last of all: what was told of their bytes is told as it is then."""
        later = self._message(user, event)
        if later is not None and later.kind == message.kind:
            fresh = {name: later.record[name] for name in OF_BYTES}
            self.kept.reword(queued, msgspec.structs.replace(message, record=message.record | fresh))

    def _end_others(self, record: Record) -> None:
        """One of several that were asked for as one has fired: the others wait for nothing any more."""
        if (group := record.get("_group")) is not None:
            for other in self.kept.on(record["associatedUuid"]):
                if other.get("_group") == group and other["id"] != record["id"]:
                    self.kept.put({**other, "status": "COMPLETE", "lastUpdated": date(time.time())}, hearing=False)

    def _over(self, job_id: str) -> None:
        """A job has ended: who waited, once, for one of its other ends waits for nothing any more."""
        for record in self.kept.on(job_id):
            if not record["persistent"] and record["event"].upper() in FINAL:
                self.kept.put({**record, "status": "COMPLETE", "lastUpdated": date(time.time())}, hearing=False)

    def _gone(self, uuid: str) -> None:
        """A thing may be gone for good: then nobody waits for it any more."""
        for record in self.kept.on(uuid):
            try:
                there = find(self._tenant, uuid, record["owner"]) is not None
            except Refusal:
                there = True
            if not there:
                self.kept.put({**record, "status": "COMPLETE", "lastUpdated": date(time.time())}, hearing=False)

    def _expect(self, record: Record, when: float) -> None:
        self._schedule.add(record["id"], web_host(record["url"]) or "mail", when)
        self._wake.set()

    # deliveries ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver, for as long as the tenant lives."""
        await keep_up("delivering notifications", self._run)

    async def _run(self) -> None:
        for subscription, due in self.kept.due():
            with contained(f"looking at notification {subscription}"):
                if (record := self.kept.get(subscription)) is not None:
                    self._expect(record, due)
        async with aclosing(Hooks()) as hooks, trio.open_nursery() as nursery:
            while True:
                self._wake = wake = trio.Event()
                while (following := self._schedule.take(time.time())) is not None:
                    nursery.start_soon(self._turn, following, hooks)
                left = max(self._schedule.next() - time.time(), 0)
                self._keep_awake(left)
                with trio.move_on_after(min(left, LOOK)):
                    await wake.wait()

    def expects(self, subscription: str) -> bool:
        """Whether a subscription is to be looked at, now or at some time."""
        return subscription in self._schedule

    def _keep_awake(self, left: float) -> None:
        if self._schedule.idle and left > SOON:
            self._tenant.awake.discard("notifications")
        else:
            self._tenant.awake.add("notifications")

    async def _turn(self, subscription: str, hooks: Hooks) -> None:
        """One attempt of the first delivery that waits for a subscription."""
        again: float | None = None
        try:
            with trio.CancelScope() as scope:
                self._under_way[subscription] = scope
                await self._attempt(subscription, hooks)
            record, following = self.kept.get(subscription), self.kept.first(subscription)
            if record is not None and following is not None and record["status"] != "INACTIVE":
                again = following.due
        except Exception:  # the edge: one subscription in trouble, the others go on
            log.exception("notification %s is left for a while", subscription)
            again = time.time() + LOOK
        finally:  # no await since we looked: an event that was heard meanwhile was left to us
            self._under_way.pop(subscription, None)
            self._schedule.done(subscription, again)
            self._wake.set()

    async def _attempt(self, subscription: str, hooks: Hooks) -> None:
        record, delivery = self.kept.get(subscription), self.kept.first(subscription)
        if record is None or delivery is None or record["status"] == "INACTIVE":
            return
        began = time.time()
        try:
            outcome = await self._sent(record, delivery, hooks)
        except Exception:  # the edge: one delivery in trouble is a failed one, and given up in the end
            log.exception("notification %s, delivery %s", subscription, delivery.id)
            outcome = Outcome(None, "The tenant failed to send it; its log says why")

        async def noted() -> None:
            self._note(subscription, delivery, outcome, began)

        await patiently(noted)

    async def _sent(self, record: Record, delivery: Delivery, hooks: Hooks) -> Outcome:
        """Bring a delivery to where the subscription wants it."""
        message = delivery.message
        if address := mail_address(record["url"]):
            content = mail.message(
                address, kind=message.kind, event=message.event, delivery=delivery.id, happened=delivery.happened,
                record=message.record, data=_content(message),
            )  # fmt: skip
            try:
                await trio.to_thread.run_sync(mail.deliver, self._tenant.root / "mail", delivery.id, content)
            except OSError as problem:
                return Outcome(None, f"The message could not be written: {problem.strerror}")
            return Outcome(200, "")
        url = self._address(record, message)
        return await hooks.post(url, _body(url, message), delivery=delivery.id, subscription=record["id"])

    def _address(self, record: Record, message: Message) -> str:
        """The URL of a subscription, with what its macros stand for in a message."""
        known = values(
            message.kind, message.record, event=message.event, uuid=message.uuid, told=message.told,
            tenant=self._tenant.name,
        )  # fmt: skip
        return expanded(record["url"], known)

    def _note(self, subscription: str, delivery: Delivery, outcome: Outcome, began: float) -> None:
        """Write down how an attempt went, and what becomes of the delivery and of its subscription."""
        store, now = self._tenant.store, time.time()
        with store.together():
            if (record := self.kept.get(subscription)) is None:
                return
            record |= {
                "attempts": record["attempts"] + 1, "lastSent": date(now), "responseCode": outcome.code,
                "success": outcome.success, "lastUpdated": date(now),
            }  # fmt: skip
            said = f"{delivery.message.event}: {outcome.code or outcome.message}"
            again = None if outcome.success else wait(record["policy"], delivery.tries + 1)
            if again is not None:
                # without a wait it keeps its place before what happened later
                self.kept.postpone(delivery, now + again if again else delivery.due)
                store.event(subscription, "RETRY_ERROR" if delivery.tries else "SEND_ERROR", said, by=record["owner"])
                self.kept.put(record, hearing=self.kept.is_hearing(subscription))
                return
            failure = None
            if not outcome.success and record["policy"]["saveOnFailure"]:
                failure = {
                    "id": delivery.id, "url": self._address(record, delivery.message),
                    "event": delivery.message.event, "associatedUuid": delivery.message.uuid,
                    "startTime": date(began), "endTime": date(now),
                    "response": {"code": outcome.code, "message": outcome.message},
                }  # fmt: skip
            self.kept.end(delivery, failure)
            if not record["persistent"]:
                record["status"] = "COMPLETE" if outcome.success else "FAILED"
                self.kept.end_all(subscription)
            self.kept.put(record, hearing=record["persistent"] and self.kept.is_hearing(subscription))
            store.event(subscription, "SUCCESS" if outcome.success else "FAILURE", said, by=record["owner"])
        if not outcome.success:
            log.info("notification %s: delivery given up after %d attempts", subscription, delivery.tries + 1)


def links(ctx: Context, wanted: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What an answer links to of these."""
    return [
        {**ctx.link(f"/notifications/v2/{fields['id']}"), "rel": "notification", "title": fields["event"]}
        for fields in wanted
    ]


def _content(message: Message) -> Any:
    """What is told: the record; of an event of a job's own what the job sent; of what happened to an app or a job on a
    system both records."""
    return message.record if message.told is None or about_whom(message.event) else message.told


def _body(url: str, message: Message) -> bytes:
    """What is posted."""
    content = _content(message)
    if urlsplit(url).hostname == SLACK:
        name = content.get("name") or message.uuid
        content = {"text": f"{message.kind} {name}: {message.event}"}
    return msgspec.json.encode(content)
