"""What a mount shows: the whole tree, or one folder of it by a path or a URI, as `agavesh` understands them.

A folder that is not there, or a file, is told before anything is mounted. A platform that does not answer just then is
no reason not to mount: the folder is found as soon as somebody looks, as in a mount of the whole tree.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

import trio

from agavesh.client.errors import AgaveError, BadArgument, NotAllowed, NotFound, Unreachable, WrongKind
from agavesh.client.storage import EXECUTE, READ, Entry
from agavesh.tree.node import Directory, Node
from agavesh.tree.workspace import Workspace

_log = logging.getLogger(__name__)

# what it says of the source; anything else is trouble on the way to it
_WRONG = (NotFound, WrongKind, NotAllowed, BadArgument)


class Source:
    """The root of a mount. `text` is what was asked for; "", "/" or "agave://" is all there is."""

    def __init__(self, workspace: Workspace, text: str = "") -> None:
        self._workspace = workspace
        self._at = text
        self.whole = text in ("", "/", "agave://")

    async def first(self, patience: float) -> Directory:
        """What to begin with. NotFound, WrongKind, NotAllowed or BadArgument: it is no folder that can be mounted."""
        if self.whole:
            return self._workspace.root
        try:
            with trio.fail_after(patience):
                return await self.now()
        except (AgaveError, trio.TooSlowError) as trouble:
            if isinstance(trouble, _WRONG):
                raise
            _log.warning("%s can't be looked at yet: %s", self._at, trouble)
            return Unfound("/", Entry("", "dir", 0, None, READ | EXECUTE))

    async def now(self) -> Directory:
        """The folder as it is now."""
        found = await self._workspace.directory(self._at)
        self._at = found.path  # a link may lead elsewhere later, but the mount stays where it is
        return found


@dataclass(frozen=True)
class Unfound(Directory):
    """The folder that is asked for, as long as nobody has been able to look."""

    async def scan(self) -> AsyncIterator[Node]:
        raise Unreachable("the platform has not been reached yet", hint="try again later")
        yield
