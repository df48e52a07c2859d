"""One check of a system: it is really tried, as a listing and a job would.

Of every system the storage is read, at its home folder; of an execution system a command is run too, confined as its
jobs are. A check says what came of it: what fails is the system's trouble, and the check's result.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

import trio

from agavesh.tenant.confine import environment
from agavesh.tenant.files.trees import erase
from agavesh.tenant.refusal import Refusal
from agavesh.tenant.store import Unwritable

if TYPE_CHECKING:
    from agavesh.tenant.state import Tenant

PATIENCE = 30.0  # seconds for one try


class Outcome(NamedTuple):
    """What came of one try. `kind` is STORAGE or LOGIN, `result` PASSED, FAILED or UNKNOWN."""

    kind: str
    result: str
    message: str | None = None


async def tries(tenant: Tenant, system: dict[str, Any] | None, user: str) -> list[Outcome]:
    """A system as `user` finds it, each part of it tried."""
    if system is None or not tenant.files.has_role(system, user, "USER"):
        return [Outcome("STORAGE", "UNKNOWN", f"{user} has no role on this system")]
    if not system["available"]:
        return [Outcome("STORAGE", "FAILED", f"The system {system['id']} is disabled")]
    found = [await _storage(tenant, system)]
    if system["type"] == "EXECUTION":
        found.append(await _login(tenant))
    return found


async def _storage(tenant: Tenant, system: dict[str, Any]) -> Outcome:
    """Whether the home folder can be listed."""
    home = tenant.files.home(system)
    try:
        disk = tenant.disk(system["id"])  # not in the thread: records are read in trio's
        with trio.fail_after(PATIENCE):
            await trio.to_thread.run_sync(
                lambda: os.listdir(disk.at(home)),  # noqa: PTH208  names are all that is wanted
                abandon_on_cancel=True,
            )
    except Unwritable:
        raise  # this is the tenant's trouble
    except (Refusal, OSError) as problem:
        why = problem.message if isinstance(problem, Refusal) else problem.strerror
        return Outcome("STORAGE", "FAILED", f"{home} cannot be listed: {why}")
    except trio.TooSlowError:
        return Outcome("STORAGE", "FAILED", f"{home} could not be listed in {PATIENCE:.0f} s")
    return Outcome("STORAGE", "PASSED")


async def _login(tenant: Tenant) -> Outcome:
    """Whether a command runs, and says what it is told to."""
    word, work = secrets.token_hex(8), tenant.trash / f"check-{secrets.token_hex(8)}"
    argv = tenant.confinement.command([shutil.which("bash") or "/bin/sh", "-c", f"echo {word}"], work=work)
    try:
        work.mkdir(mode=0o700)
        with trio.fail_after(PATIENCE):
            done = await trio.run_process(
                argv, cwd=work, env=environment({}, work=work), stdin=subprocess.DEVNULL, capture_stdout=True,
                capture_stderr=True, check=False, start_new_session=True,
            )  # fmt: skip
    except OSError as problem:
        return Outcome("LOGIN", "FAILED", f"No command can be run: {problem.strerror}")
    except trio.TooSlowError:
        return Outcome("LOGIN", "FAILED", f"A command did not end in {PATIENCE:.0f} s")
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(erase, work)
    if done.returncode or done.stdout.strip() != word.encode():
        return Outcome("LOGIN", "FAILED", f"A command ended with code {done.returncode}")
    return Outcome("LOGIN", "PASSED")
