"""When monitors check, and what a check leaves: its record, the monitor's next time, and the system's status.

Times are kept with the monitors, so a tenant that was down checks what is overdue when it is up again. An idle tenant
is not kept up for them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import trio

from agavesh.tenant.background import contained, keep_up
from agavesh.tenant.monitors.checks import Outcome, tries
from agavesh.tenant.store import Unwritable
from agavesh.tenant.words import date, new_uuid

if TYPE_CHECKING:
    from agavesh.tenant.state import Tenant

log = logging.getLogger(__name__)

TABLES = """
create table if not exists checks (
    number integer primary key, id text not null unique, monitor text not null, at real not null, kind text not null,
    result text not null, message text);
create index if not exists checks_by_monitor on checks (monitor, number);
"""
KEPT = 10_000  # checks of a monitor; older ones go
AT_ONCE = 4
LONGEST = 3600.0  # seconds: the clock of the machine may be set meanwhile

Record = dict[str, Any]


class Monitors:
    """The monitors of one tenant. `minute` is the length of a minute, in seconds."""

    def __init__(self, tenant: Tenant, *, minute: float = 60.0) -> None:
        self._tenant, self.minute = tenant, minute
        self._changed = trio.Event()
        self._places = trio.CapacityLimiter(AT_ONCE)
        self._under_way: set[str] = set()

    def keep(self, monitor: Record) -> None:
        """Write a monitor down. Its next time is looked at."""
        self._tenant.store.put("monitor", monitor["id"], monitor, owner=monitor["owner"])
        self._changed.set()

    def drop(self, monitor: Record) -> None:
        """Remove a monitor with its checks."""
        with self._tenant.store.together():
            self._tenant.store.drop("monitor", monitor["id"])
            self._tenant.store.forget(monitor["id"])
            self._tenant.store.sql("delete from checks where monitor = ?", monitor["id"])

    async def run(self) -> None:
        """Check what is due, for ever."""
        await keep_up("checking what is due", self._run)

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                self._changed = changed = trio.Event()
                now = time.time()
                waiting = [m for m in self._tenant.store.all("monitor") if m["active"]]
                for monitor in waiting:
                    if monitor["next"] <= now and monitor["id"] not in self._under_way:
                        self._under_way.add(monitor["id"])
                        nursery.start_soon(self._due, monitor["id"])
                ahead = [m["next"] - now for m in waiting if m["id"] not in self._under_way]
                with trio.move_on_after(min([LONGEST, *ahead])):
                    await changed.wait()

    async def _due(self, monitor_id: str) -> None:
        try:
            if (monitor := self._tenant.store.get("monitor", monitor_id)) is not None:
                await self.check(monitor)
        except Unwritable as trouble:
            log.warning("a check cannot be written down: %s", trouble.strerror)
            await trio.sleep(self.minute)
        except Exception:  # the edge: one monitor in trouble is tried at its next time, the others go on
            log.exception("the check of monitor %s failed", monitor_id)
            with contained(f"putting off monitor {monitor_id}"):
                self._put_off(monitor_id)
            await trio.sleep(self.minute)  # however often it is due
        finally:
            self._under_way.discard(monitor_id)
            self._changed.set()

    def _put_off(self, monitor_id: str) -> None:
        if (monitor := self._tenant.store.get("monitor", monitor_id)) is not None:
            self.keep({**monitor, "next": time.time() + monitor["frequency"] * self.minute})

    async def check(self, monitor: Record) -> Record:
        """Try a monitor's system now; the check that decides: the first part that did not pass, else the last."""
        tenant = self._tenant
        async with self._places:
            outcomes = await tries(tenant, tenant.store.get("system", monitor["target"]), monitor["owner"])
        made = [self._record(monitor["id"], outcome) for outcome in outcomes]
        check = next((one for one in made if one["result"] != "PASSED"), made[-1])
        current = tenant.store.get("monitor", monitor["id"])
        if current is None:
            return check  # it was deleted meanwhile
        with tenant.store.together():
            for one in made:
                self._write(one)
            now, before = check["at"], (current["lastCheck"] or {}).get("result")
            changed = {**current, "lastCheck": check, "next": now + current["frequency"] * self.minute}
            if check["result"] == "PASSED":
                changed["lastSuccess"] = now
            self.keep(changed)
            told = check["message"] or "The system answers"
            tenant.store.event(monitor["id"], f"CHECK_{check['result']}", told, by=monitor["owner"])
            if before != check["result"]:
                tenant.store.event(monitor["id"], "STATUS_CHANGE", f"Now {check['result']}", by=monitor["owner"])
            self._update_system(current, check["result"])
        return check

    def checks(self, monitor_id: str) -> Iterator[Record]:
        """The checks of a monitor, newest first."""
        for row in self._tenant.store.sql(
            "select id, monitor, at, kind, result, message from checks where monitor = ? order by number desc",
            monitor_id,
        ):
            yield dict(zip(("id", "monitor", "at", "kind", "result", "message"), row, strict=True))

    def _record(self, monitor_id: str, outcome: Outcome) -> Record:
        return {"id": new_uuid("015"), "monitor": monitor_id, "at": time.time(), **outcome._asdict()}

    def _write(self, check: Record) -> None:
        sql = self._tenant.store.sql
        sql(
            "insert into checks (id, monitor, at, kind, result, message) values (?, ?, ?, ?, ?, ?)",
            *(check[name] for name in ("id", "monitor", "at", "kind", "result", "message")),
        )
        sql(
            "delete from checks where monitor = ?1 and number <="
            " (select number from checks where monitor = ?1 order by number desc limit 1 offset ?2)",
            check["monitor"], KEPT,
        )  # fmt: skip

    def _update_system(self, monitor: Record, result: str) -> None:
        """The system is UP or DOWN by its check, where its owner wants that and may. MAINTENANCE is left to people."""
        store, system = self._tenant.store, self._tenant.store.get("system", monitor["target"])
        wanted = {"PASSED": "UP", "FAILED": "DOWN"}.get(result)
        if not monitor["updateSystemStatus"] or system is None or wanted is None:
            return
        if system["status"] in (wanted, "MAINTENANCE") or not self._tenant.files.has_role(
            system, monitor["owner"], "ADMIN"
        ):
            return
        changed = {**system, "status": wanted, "lastModified": date(time.time())}
        store.put("system", system["id"], changed, owner=system["owner"])
        store.event(system["uuid"], "STATUS_UPDATE", f"Status is {wanted}", by=monitor["owner"])
