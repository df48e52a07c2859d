"""Asking a tenant of one's own for trouble, to rehearse: the control call of `agavesh.api.control`.

The tenant is known by its folder, and proves itself before it is told anything, as in `local`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from agavesh.api import control
from agavesh.client.answers import MALFORMED
from agavesh.client.errors import AgaveError, BadAnswer, BadArgument, NotAllowed, NotFound, Unsupported
from agavesh.client.local import Card, answering, stranger

T = TypeVar("T")


class Control:
    """The control call of the tenant in a folder."""

    def __init__(self, card: Card, folder: Path) -> None:
        self._card, self._folder = card, folder

    async def faults(self) -> control.Faults:
        """What is active, and what came."""
        return await self._call("GET", control.PATH, control.Faults)

    async def add(self, fault: control.Fault) -> control.Active:
        """One more. BadArgument where the tenant has no such operation, user or code."""
        return await self._call("POST", control.PATH, control.Active, msgspec.json.encode(fault))

    async def clear(self, name: str | None = None) -> None:
        """The fault of that name is over, or all are. NotFound where there is none."""
        await self._call("DELETE", control.PATH + (f"/{quote(name, safe='')}" if name else ""), Any)

    async def _call(self, method: str, path: str, kind: type[T], body: bytes = b"") -> T:
        headers = {"Authorization": control.sign(self._card.key, self._card.run, method, path, body)}
        async with stranger(self._card) as agave:
            answer = await agave.raw(method, path, content=body or None, headers=headers)
        try:
            told = msgspec.json.decode(answer.body, type=dict[str, Any])
            if answer.status < 300:
                return msgspec.convert(told.get("result"), kind)
            sentence = str(told["message"])
        except (*MALFORMED, KeyError):
            raise BadAnswer(f"the tenant at {self._card.url} answered something else", status=answer.status) from None
        kinds: dict[int, type[AgaveError]] = {400: BadArgument, 401: NotAllowed, 404: NotFound}
        if "--control" in sentence:
            hint = f"stop it, and start it anew with `agavesh tenant serve --root {self._folder} --control`"
            raise Unsupported(sentence, hint=hint, status=answer.status)
        raise kinds.get(answer.status, AgaveError)(sentence, status=answer.status)


async def control_of(folder: Path) -> Control:
    """The control call of the tenant that runs in a folder. NotFound if none does."""
    card = await answering(folder)
    if card is None:
        raise NotFound(f"no tenant runs in {folder}", hint=f"`agavesh tenant serve --root {folder} --control`")
    return Control(card, folder)
