"""tenant fault: ask an embedded tenant of one's own for trouble, to see how programs bear it."""

from typing import TYPE_CHECKING, Annotated

from agavesh.api.words import LocalPath, Word
from agavesh.client.errors import BadArgument
from agavesh.shell.command import command
from agavesh.shell.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from agavesh.client.control import Control

Root = Annotated[LocalPath, Word("folder of the tenant; else that of your own", lists="local")]

KINDS = (
    "slow", "refuse", "throttle", "gateway", "html", "cut", "stall", "malform", "lose", "hold-staging", "expire-tokens",
)  # fmt: skip


@command("tenant fault", also=["tenant fault list"])
async def list_(here: Session, *, root: Root = "") -> None:
    """List the faults that a tenant of yours was asked for, and how many requests each met."""
    from agavesh.shell.render import Column, show_list

    found = (await (await _control(root)).faults()).faults

    def detail(name: str) -> "Column":
        return Column(name, lambda row: row[name])

    rows = [_row(active) for active in found]
    await show_list(here, rows, [detail(name) for name in ("name", "kind", "operation", "hits", "times", "details")])


def _row(active: object) -> dict[str, object]:
    import msgspec

    told = msgspec.to_builtins(active)
    fault = told.pop("fault")
    own = {name: value for name, value in fault.items() if name not in ("kind", "operation", "times")}
    return {
        "name": told["name"],
        "kind": fault["kind"],
        "operation": fault.get("operation", "*"),
        "hits": told["hits"],
        "times": fault.get("times", ""),
        "details": " ".join(f"{name}={value}" for name, value in own.items()),
    }


@command("tenant fault add")
async def add(
    here: Session,
    kind: Annotated[str, Word("the kind of fault", choices=KINDS)],
    *,
    operation: Annotated[str, Word("operation that it is for, such as files.list; else all", lists="keys")] = "*",
    times: Annotated[int, Word("requests that it meets; else all, until it is cleared")] = 0,
    seconds: Annotated[float | None, Word("slow: how long a request waits; else until the fault is cleared")] = None,
    status: Annotated[int | None, Word("refuse, html: the status that is answered")] = None,
    message: Annotated[str | None, Word("refuse: what is answered")] = None,
    retry_after: Annotated[float | None, Word("throttle: seconds until one may come again")] = None,
    code: Annotated[int | None, Word("gateway: the code of its fault, such as 900904")] = None,
    after: Annotated[int | None, Word("cut, stall: bytes of the answer that are sent before")] = None,
    username: Annotated[str | None, Word("expire-tokens: whose; else everybody's")] = None,
    root: Root = "",
) -> None:
    """Ask a tenant of yours for trouble, and print what it is cleared by.

    The tenant must have been started with --control, and you must be who started it. `slow` waits, `refuse` answers an
    error, `throttle` 429, `gateway` a fault of the gateway, `html` a proxy's page: nothing is done then. With `cut`,
    `stall`, `malform` and `lose` the work is done and its answer ends short, stops, is garbled, or never comes. Uploads
    stay queued with `hold-staging`. `expire-tokens` ends all access tokens at once.
    """
    import msgspec

    from agavesh.api.control import Any_fault

    given = {
        "seconds": seconds, "status": status, "message": message, "retry_after": retry_after, "code": code,
        "after": after, "username": username, "times": times or None,
    }  # fmt: skip
    wanted = {name: value for name, value in given.items() if value is not None}
    try:
        fault = msgspec.convert({"kind": kind, "operation": operation, **wanted}, Any_fault)
    except msgspec.ValidationError as problem:
        raise BadArgument(_misfit(kind, str(problem)), hint='"help tenant fault add" explains') from None
    try:
        active = await (await _control(root)).add(fault)
    except BadArgument as refused:
        from agavesh.api.catalogue import operations
        from agavesh.shell.language import nearest

        refused.hint = refused.hint or nearest(operation, [known.key for known in operations()])
        raise
    await here.console.show(f"{active.name}\n")


def _misfit(kind: str, problem: str) -> str:
    """What msgspec says of a fault, in the words of the command."""
    what, _, option = problem.replace("`", "").partition(" - at $.")
    if option:
        return f"--{option.replace('_', '-')}: {what[:1].lower()}{what[1:]}"
    option = what.removeprefix("Object contains unknown field ")
    return f"{kind} has no --{option.replace('_', '-')}" if option != what else f"{kind}: {what}"


@command("tenant fault clear")
async def clear(
    here: Session, name: Annotated[str, Word("the fault, by its name in the list; else all")] = "", *, root: Root = ""
) -> None:
    """End a fault that a tenant of yours was asked for, or all of them. Who waits in it goes on."""
    from agavesh.client.errors import NotFound

    control = await _control(root)
    try:
        await control.clear(name or None)
    except NotFound as missing:
        missing.hint = missing.hint or '"tenant fault" lists them'
        raise


async def _control(root: str) -> "Control":
    from agavesh.client.control import control_of

    return await control_of(_folder(root))


def _folder(root: str) -> "Path":
    from pathlib import Path

    from agavesh.client.local import local_root

    return Path(root).expanduser() if root else local_root()
