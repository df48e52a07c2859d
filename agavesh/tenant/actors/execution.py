"""One execution on this machine: its folder, and the process that answers its message.

The folder lies at `actors/ACTOR/EXECUTION` and is private to the tenant; of it the process sees its work folder, the
pipe of the message and the socket for results. What is kept when it is over are the log and the results that nobody has
taken yet. `stage` tells what the files of the folder are. The processes stand under a job's runner, so an execution
goes on when the tenant ends, and is found again by the next one.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import trio

import agavesh
from agavesh.tenant.actors import images, stage
from agavesh.tenant.actors.queue import Execution
from agavesh.tenant.auth import Denied
from agavesh.tenant.confine import PATH, environment
from agavesh.tenant.files.trees import erase
from agavesh.tenant.jobs import runner
from agavesh.tenant.jobs.places import read_end
from agavesh.tenant.jobs.runs import Run, sweep
from agavesh.tenant.refusal import Refusal

if TYPE_CHECKING:
    from agavesh.tenant.state import Tenant

log = logging.getLogger(__name__)

LONGEST_RUN = 3600.0  # seconds
MEMORY = 4 << 30  # bytes of private memory that each process of an actor may have
PIPE, SOCKET = "/_abaco_binary_data", "/_abaco_results.sock"  # wire: where programs written for containers look
LONGEST_COMPLAINT = 1024  # bytes, of what the tenant adds to a log
CLIENT = "actors"  # whom the tokens of actors are made out to


@dataclass(frozen=True)
class Outcome:
    """How an execution ended: see `Queue.finish`."""

    status: str
    started: float
    finished: float
    exit: int | None = None
    cpu: int = 0
    io: int = 0


class Process:
    """The process of an execution, past, present or to be."""

    def __init__(self, tenant: Tenant, actor: str, execution: str) -> None:
        self._tenant, self._id = tenant, execution
        self.folder = tenant.root / "actors" / actor / execution
        self._run = Run(self.folder / "run")

    @property
    def asked_for(self) -> bool:
        """Whether it was ever started."""
        return self._run.asked_for

    async def start(self, actor: Mapping[str, Any], execution: Execution) -> None:
        """Start it. Refusal if its image or its owner is not there any more. Whether it did start, `asked_for` says."""
        image = images.find(self._tenant.root, actor["image"])
        await trio.to_thread.run_sync(self._make_folder)
        (self.folder / "task.json").write_bytes(msgspec.json.encode(self._task(actor, execution, image)))
        home = str(Path(agavesh.__file__).parents[1])
        with trio.CancelScope(shield=True):  # a runner that starts is waited for, so that a stop finds it
            await self._run.start({
                "argv": [sys.executable, "-S", "-P", "-s", "-m", stage.__name__, str(self.folder)],
                "nested": False,
                "cwd": str(self.folder),
                "environment": {"PATH": PATH, "LANG": "C.UTF-8", "PYTHONPATH": home, runner.MARK: self._id},
                "pid": str(self.folder / "pid"),
                "out": str(self.folder / "stage.out"),  # empty: the program has a pipe
                "err": str(self.folder / "stage.log"),
                "limit": self._tenant.actors.longest_run,
                "memory": 0,  # the stage sees to that
            })  # fmt: skip

    def _make_folder(self) -> None:
        erase(self.folder / "work")
        (self.folder / "work").mkdir(parents=True, mode=0o700)
        (self.folder / "task.json").touch(mode=0o600)  # it may hold a token

    def _task(self, actor: Mapping[str, Any], execution: Execution, image: Path) -> stage.Task:
        confinement, work = self._tenant.confinement, self.folder / "work"
        confined = confinement.bwrap is not None
        places = {PIPE: self.folder / "binary_data", SOCKET: self.folder / "results.sock"}
        own = {
            **{name: str(value) for name, value in actor["defaultEnvironment"].items()},
            **execution.message.environment,
            **self._told(actor, execution),
            "_abaco_binary_data": PIPE if confined else str(places[PIPE]),
            "_abaco_results_sock": SOCKET if confined else str(places[SOCKET]),
            runner.MARK: self._id,
        }
        readable = [images.folder(self._tenant.root), image.resolve()]
        if (certificate := self._tenant.root / "tls" / "ca.pem").exists():
            readable.append(certificate)
            own["AGAVE_CA_CERT"] = own["REQUESTS_CA_BUNDLE"] = str(certificate)
        argv = confinement.command([str(image)], work=work, readable=readable, placed=places, memory=memory(actor))
        return {
            "argv": argv,
            "cwd": str(work),
            "environment": environment(own, work=work),
            "results": "_abaco_results_sock",
        }

    def _told(self, actor: Mapping[str, Any], execution: Execution) -> dict[str, str]:
        """The documented variables."""
        token = ""
        if actor["token"]:
            try:
                token = self._tenant.auth.grant(actor["owner"], CLIENT, refreshable=False).access_token
            except Denied as denied:
                raise Refusal(403, f"The actor has no owner to act for: {denied}") from None
        return {
            "MSG": execution.message.text,
            "_abaco_actor_id": actor["id"],
            "_abaco_actor_dbid": actor["id"],
            "_abaco_actor_name": str(actor["name"]),
            "_abaco_actor_state": str(actor["state"]),
            "_abaco_actor_revision": str(actor["revision"]),
            "_abaco_execution_id": execution.id,
            "_abaco_worker_id": str(execution.worker),
            "_abaco_container_repo": actor["image"],
            "_abaco_username": execution.executor,
            "_abaco_api_server": self._tenant.url,
            "_abaco_jwt_header_name": f"X-JWT-Assertion-{self._tenant.name.upper()}",
            "_abaco_access_token": token,
            "_abaco_Content_Type": execution.message.kind,
        }

    def stop(self) -> bool:
        """Ask for its end. False if nothing runs."""
        return self._run.stop()

    async def wait(self, execution: Execution) -> Outcome:
        """Wait until nothing of it runs any more, then say how it went."""
        ended = await self._run.wait()
        if ended is None and self.asked_for:
            await trio.to_thread.run_sync(sweep, self._id)
        started = (self._run.begun or {}).get("at", execution.started)
        finished = (ended or {}).get("at", time.time())
        told = runner.read(str(self.folder / "outcome.json")) or {}
        why = (ended or {}).get("why")
        if why == "limit":
            self._complain("The time of this execution was up, and it was ended")
        if "exit" in told:
            return Outcome("COMPLETE", started, finished, told["exit"], told["cpu"], told["io"])
        if why in ("limit", "stopped"):
            return Outcome("COMPLETE", started, finished, 137)
        reason = told.get("error") or (ended or {}).get("error")
        if ended is not None and not reason:
            reason = "the tenant's own process for it failed"
            log.warning("execution %s: %s", self._id, read_end(self.folder / "stage.log", LONGEST_COMPLAINT).decode())
        self._complain(f"The execution failed: {reason or 'it was interrupted, or the machine went down'}")
        return Outcome("ERROR", started, finished)

    def discard(self) -> None:
        """There will be no execution: remove what was put into the folder."""
        erase(self.folder)

    def fail(self, reason: str) -> None:
        """Say in the log why it never started."""
        with contextlib.suppress(OSError):
            self._make_folder()
        self._complain(reason)

    def _complain(self, text: str) -> None:
        with contextlib.suppress(OSError), (self.folder / "log").open("a") as file:
            file.write(f"\n[{text}]\n" if file.tell() else f"[{text}]\n")

    async def clear(self) -> None:
        """Remove what nobody will ask for any more; the token that the process had is over."""
        task = runner.read(str(self.folder / "task.json"))
        if task and (token := task["environment"]["_abaco_access_token"]):
            self._tenant.auth.revoke(token, CLIENT)
        await trio.to_thread.run_sync(self._remove)

    def _remove(self) -> None:
        for path in self.folder.glob("*"):
            if path.name not in ("log", "results"):
                with contextlib.suppress(OSError):
                    erase(path)

    # what is left of it ----------------------------------------------------------------------------------------------

    def log(self) -> str:
        """What the process has written."""
        return read_end(self.folder / "log", stage.LOG + LONGEST_COMPLAINT).decode(errors="replace")

    def pop(self, *, keep: bool = False) -> bytes:
        """The oldest result, taken away unless it is only looked at; b"" if there is none."""
        for path in sorted((self.folder / "results").glob("[0-9]*")):
            with contextlib.suppress(FileNotFoundError):
                result = read_end(path, stage.LARGEST_RESULTS)
                if not keep:
                    path.unlink()  # of two who ask at once, one finds it gone
                if result:
                    return result
        return b""


def memory(actor: Mapping[str, Any]) -> int:
    """How much memory a process of an actor may have."""
    return min(int(actor["_memory"] or MEMORY), MEMORY)
