"""systems: the machines that the platform knows."""

from typing import Annotated

from agavesh.api.words import SystemId, Word
from agavesh.client.errors import BadArgument, NotFound
from agavesh.shell.command import command
from agavesh.shell.session import Session

Filter = Annotated[str, Word("FIELD=VALUE, FIELD.OPERATOR=VALUE or FIELD~TEXT", lists="system-fields")]


@command("systems", also=["systems list"], examples=["systems", "systems type=STORAGE", "systems id~demo"])
async def systems(here: Session, *filters: Filter) -> None:
    """List systems, all or those that fit every filter."""
    from agavesh.shell.filters import search
    from agavesh.shell.render import Column, field, show_list

    agave = await here.agave()
    pages = [page async for page in agave.pages(agave.systems.list, search=search(filters, "system-fields"))]
    columns = [
        field("id"), field("type"), field("status"),
        Column("default", lambda system: "default" if system.default else ""),
        Column("public", lambda system: "public" if system.public else ""), field("name", narrows=True),
    ]  # fmt: skip
    await show_list(here, [system for page in pages for system in page], columns)


@command("systems show", examples=["systems show data.demo", "systems show data.demo -o json"])
async def show(here: Session, system: SystemId) -> None:
    """Show all that is known of a system."""
    from agavesh.shell.render import show_one

    try:
        await show_one(here, await (await here.agave()).systems.get(systemId=system))
    except NotFound as missing:
        raise await here.meant("/systems", system, missing) from None


@command("systems default", examples=["systems default", "systems default data.demo"])
async def default(here: Session, system: SystemId = "") -> None:
    """Show your default systems, or make one the default of its type."""
    agave = await here.agave()
    if system:
        await agave.systems.manage(systemId=system, body={"action": "setDefault"})
        return
    for kind in ("STORAGE", "EXECUTION"):
        page = await agave.systems.list(type=kind, default=True)
        await here.console.show("".join(f"{kind.lower():9}  {found.id}\n" for found in page if found.default))


async def default_storage(here: Session) -> str:
    """The id of the default storage system; the only one there is will do."""
    agave = await here.agave()
    pages = [page async for page in agave.pages(agave.systems.list, type="STORAGE")]
    found = [system for page in pages for system in page if system.type == "STORAGE"]
    chosen = [system.id for system in found if system.default] or [system.id for system in found]
    if not chosen:
        raise NotFound("you have no storage system", hint='"systems" lists what there is')
    if len(chosen) > 1:
        raise BadArgument("you have no default storage system", hint='"systems default SYSTEM" sets one')
    return chosen[0]
