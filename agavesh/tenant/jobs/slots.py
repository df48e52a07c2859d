"""How many jobs run at once: the limits of queues, systems and users, and who waits for whom.

Those who wait are served in the order they were submitted, but one that a limit of its own holds back lets others
pass. In memory only: after a restart, jobs that still run `take` their slot before any other may ask for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import trio

AT_ONCE = 64  # jobs of all systems: each is two processes of this machine at least


@dataclass(frozen=True)
class Claim:
    """What a job wants to run in, and how many may: (what is counted, how many of it) pairs; and since when."""

    since: str
    limits: tuple[tuple[tuple[str, ...], int], ...]

    @classmethod
    def of(cls, job: Mapping[str, Any], system: Mapping[str, Any]) -> Claim:
        """The claim of a job on the queue that its record names."""
        id, owner = system["id"], job["owner"]
        queues: list[dict[str, Any]] = system.get("queues") or []
        queue = next((queue for queue in queues if queue["name"] == job["batchQueue"]), {})
        counted = {
            ("all",): AT_ONCE,
            (id,): system.get("maxSystemJobs"),
            (id, "of", owner): system.get("maxSystemJobsPerUser"),
            (id, "in", job["batchQueue"]): queue.get("maxJobs"),
            (id, "in", job["batchQueue"], "of", owner): queue.get("maxUserJobs"),
        }
        return cls(
            job["created"], tuple((what, most) for what, most in counted.items() if most is not None and most >= 0)
        )


@dataclass
class Slots:
    """Who has a slot, and who waits for one."""

    _held: dict[str, Claim] = field(default_factory=dict)
    _waiting: dict[str, tuple[Claim, trio.Event]] = field(default_factory=dict)

    async def acquire(self, job_id: str, claim: Claim) -> None:
        """Wait for a slot. A job that has one keeps it; one that gives up waiting leaves nothing behind."""
        if job_id in self._held:
            return
        served = trio.Event()
        self._waiting[job_id] = (claim, served)
        self._serve()
        try:
            await served.wait()
        except BaseException:
            self._waiting.pop(job_id, None)
            self.release(job_id)
            raise

    def take(self, job_id: str, claim: Claim) -> None:
        """Have a slot at once, whatever the limits say: the job runs already."""
        self._held[job_id] = claim

    def release(self, job_id: str) -> None:
        """Give a slot back, if there is one."""
        if self._held.pop(job_id, None) is not None:
            self._serve()

    def _serve(self) -> None:
        for job_id, (claim, served) in sorted(self._waiting.items(), key=lambda item: (item[1][0].since, item[0])):
            if self._fits(claim):
                del self._waiting[job_id]
                self._held[job_id] = claim
                served.set()

    def _fits(self, claim: Claim) -> bool:
        taken = [what for held in self._held.values() for what, _ in held.limits]
        return all(taken.count(what) < most for what, most in claim.limits)
