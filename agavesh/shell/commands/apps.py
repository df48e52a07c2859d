"""apps: what can be run."""

from typing import TYPE_CHECKING, Annotated

from agavesh.api.words import AppId, Word
from agavesh.client.errors import NotFound
from agavesh.shell.command import command
from agavesh.shell.session import Session

if TYPE_CHECKING:
    from agavesh.api.models.apps import Application, ApplicationInput, ApplicationParameter

Filter = Annotated[str, Word("FIELD=VALUE, FIELD.OPERATOR=VALUE or FIELD~TEXT", lists="app-fields")]


@command("apps", also=["apps list"], examples=["apps", "apps id~count", "apps -o csv"])
async def apps(here: Session, *filters: Filter) -> None:
    """List apps, all or those that fit every filter."""
    from agavesh.shell.filters import search
    from agavesh.shell.render import field, show_list

    agave = await here.agave()
    pages = [page async for page in agave.pages(agave.apps.list, search=search(filters, "app-fields"))]
    columns = [
        field("id"), field("executionSystem", "runs on"), field("revision", right=True),
        field("shortDescription", "description", narrows=True),
    ]  # fmt: skip
    await show_list(here, [app for page in pages for app in page], columns)


@command("apps show", examples=["apps show wordcount-1.0", "apps show wordcount-1.0 -o json"])
async def show(here: Session, app: AppId) -> None:
    """Show an app: what it does, and which inputs and parameters a job gives it."""
    from agavesh.shell.render import show_one

    try:
        record = await (await here.agave()).apps.get(appId=app)
    except NotFound as missing:
        raise await here.meant("/apps", app, missing) from None
    if here.output != "table":
        await show_one(here, record)
        return
    await here.console.show(_described(record))


def _described(app: "Application") -> str:
    from agavesh.shell.tokens import printable

    lines = [
        f"{app.id}  {app.shortDescription or app.label or ''}",
        f"  runs on {app.executionSystem}" + (f", at most {app.defaultMaxRunTime}" if app.defaultMaxRunTime else ""),
    ]
    inputs: list[ApplicationInput | ApplicationParameter] = [*(app.inputs or [])]
    parameters: list[ApplicationInput | ApplicationParameter] = [*(app.parameters or [])]
    for title, things in (("inputs", inputs), ("parameters", parameters)):
        rows = [_row(thing) for thing in things if thing.value is None or thing.value.visible is not False]
        lines += ["", f"  {title}"] if rows else []
        wide = [max((len(row[at]) for row in rows), default=0) for at in range(2)]
        lines += [f"    {name:{wide[0]}}  {kind:{wide[1]}}  {what}".rstrip() for name, kind, what in rows]
    names = [f"{thing.id}=…" for thing in [*inputs, *parameters] if _required(thing)]
    lines += ["", f"  $ jobs submit {app.id} {' '.join(names)}".rstrip()]
    return "\n".join(printable(line) for line in lines) + "\n"


def _required(thing: "ApplicationInput | ApplicationParameter") -> bool:
    return bool(thing.value and thing.value.required and thing.value.visible is not False)


def _row(thing: "ApplicationInput | ApplicationParameter") -> tuple[str, str, str]:
    """Name, kind, and what it is for."""
    kind = getattr(thing.value, "type", None) or "path or URI"
    said = (thing.details.description or thing.details.label or "") if thing.details else ""
    default = thing.value.default if thing.value else None
    notes = ["required"] if _required(thing) else []
    notes += [f"{default!r} if not given"] if default not in (None, "", []) else []
    return thing.id, kind, f"{said}{' (' if said and notes else ''}{', '.join(notes)}{')' if said and notes else ''}"
