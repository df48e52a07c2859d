"""A session: what commands work with. The folder one is in, the open account, settings, the console.

The account is opened when a command first needs it, by a task of the session's own that keeps it open to the end.
"""

from __future__ import annotations

import posixpath
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from agavesh.client.errors import AgaveError, BadArgument, NotFound
from agavesh.shell.language import nearest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio

    from agavesh.client.accounts import Account
    from agavesh.client.client import Agave
    from agavesh.shell.command import Table
    from agavesh.shell.console import Console
    from agavesh.tree.node import Directory, Node
    from agavesh.tree.workspace import Workspace

_HINT_WAITS = 2.0  # seconds that a hint at a better name may take

SETTINGS = {
    "output": ("table", "json", "csv"),
    "editing": ("emacs", "vi"),
}


class Leave(Exception):
    """The user is done; `status` is what to end with."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Session:
    """One user's stay. `interactive` says that lines come from a prompt; `url` and `username` choose the account."""

    def __init__(
        self, console: Console, table: Table, *, interactive: bool = False, url: str | None = None,
        username: str | None = None, output: str = "table", debug: bool = False,
    ) -> None:  # fmt: skip
        self.console, self.table = console, table
        self.interactive, self.debug = interactive, debug
        self.url, self.username = url, username
        self.settings = {name: choices[0] for name, choices in SETTINGS.items()} | {"output": output}
        self.output = output  # of the command that runs
        self.cwd = self.before = "/"
        self.status = 0
        self.open_now: Workspace | None = None
        self._changed: set[str] = set()  # tree paths that mounts have not been told of
        self.account: Account | None = None
        self._nursery: trio.Nursery | None = None
        self._closing: trio.Event | None = None
        self._opening: trio.Lock | None = None

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """While it lasts, an account can be opened. Errors within must not pass this by: they would end as a group."""
        import trio

        async with trio.open_nursery() as self._nursery:
            self._opening = trio.Lock()
            try:
                yield
            finally:
                self._nursery.cancel_scope.cancel()
                self._nursery = None

    @property
    def lives(self) -> bool:
        """Whether trio runs already."""
        return self._nursery is not None

    async def workspace(self) -> Workspace:
        """The open account; opened now if it is not, or if the embedded tenant has ended meanwhile."""
        from agavesh.client.local import has_ended

        assert self._nursery is not None and self._opening is not None, "no command asks before the session lives"
        async with self._opening:
            if self.open_now is not None and self.account is not None and await has_ended(self.account):
                self._let_go()
            if self.open_now is None:
                self.open_now = await self._nursery.start(self._keep)
        assert self.open_now is not None
        return self.open_now

    async def _keep(self, task_status: trio.TaskStatus[Workspace]) -> None:
        import trio

        from agavesh.tree.workspace import open_workspace

        self.account = await self._find()
        closing = self._closing = trio.Event()
        async with open_workspace(self.account) as workspace:
            workspace.listings.on_change = self._changed.add
            task_status.started(workspace)
            await closing.wait()

    async def tell_mounts(self) -> None:
        """Have the mounts of this machine know at once what a command has changed."""
        if self._changed and self.open_now is not None:
            from agavesh.client.mounts import tell

            changed = set(self._changed)
            self._changed.clear()
            await tell(self.open_now.agave.url, changed)

    async def _find(self) -> Account:
        from agavesh.client.local import current_account

        def note(sentence: str) -> None:
            self.console.note(f"agavesh: {sentence}")

        return await current_account(self.url, self.username, notice=note)

    def close_account(self) -> None:
        """Let go of the account; the next command that needs one opens what is then found."""
        self._let_go()
        self.cwd = self.before = "/"

    def _let_go(self) -> None:
        if self._closing is not None:
            self._closing.set()
        self._closing = self.open_now = self.account = None

    def forget_workspace(self) -> None:
        """The account's task is gone with its nursery: open anew when one is needed."""
        self._closing = self.open_now = None

    # what commands ask for most

    async def agave(self) -> Agave:
        return (await self.workspace()).agave

    async def find(self, path: str, *, follow: bool = True) -> Node:
        """The node at a path or URI. NotFound names what was probably meant."""
        workspace = await self.workspace()
        try:
            return await workspace.find(path, self.cwd, follow=follow)
        except NotFound:
            folder = posixpath.dirname(await self.tree_path(path))
            workspace.listings.forget(folder)  # it may be from before the file came
        try:
            return await workspace.find(path, self.cwd, follow=follow)
        except NotFound as missing:
            raise await self._explained(path, missing) from None

    async def directory(self, path: str) -> Directory:
        """The folder at a path or URI. WrongKind for a file; NotFound names what was probably meant."""
        workspace = await self.workspace()
        try:
            return await workspace.directory(path, self.cwd)
        except NotFound as missing:
            raise await self._explained(path, missing) from None

    async def meant(self, folder: str, name: str, missing: NotFound) -> NotFound:
        """The error with a hint at the name in a folder that is like the one which is not there."""
        import trio

        if missing.hint:
            return missing
        with trio.move_on_after(_HINT_WAITS):
            try:
                names = [node.name async for node in (await (await self.workspace()).directory(folder)).scan()]
            except AgaveError:
                return missing
            missing.hint = nearest(name, names)
        return missing

    async def _explained(self, path: str, missing: NotFound) -> NotFound:
        folder, name = posixpath.split(await self.tree_path(path))
        return await self.meant(folder, name, missing) if name else missing

    async def tree_path(self, path: str) -> str:
        """The path in the tree that a text means."""
        return await (await self.workspace()).tree_path(path, self.cwd)

    async def find_or_none(self, path: str) -> Node | None:
        """The node at a path, None if nothing is there."""
        try:
            return await (await self.workspace()).find(path, self.cwd)
        except NotFound:
            return None

    async def place(self, path: str) -> tuple[Directory, str]:
        """The folder that a path's last name is in, or would be in, and that name."""
        whole = await self.tree_path(path)
        name = posixpath.basename(whole)
        if not name:
            raise BadArgument(f"{path!r} names no file", hint="name something in a folder")
        return await self.directory(posixpath.dirname(whole)), name

    async def sure(self, question: str) -> bool:
        """Whether the user agrees; where nobody can be asked, the command line counts as the answer."""
        if not self.console.can_ask or not self.console.is_terminal:
            return True
        return (await self.console.ask(f"{question} [y/N] ")).strip().lower() in ("y", "yes")


def first_error(group: BaseExceptionGroup[Any]) -> AgaveError | None:
    """The first of our errors in a group, as nurseries make them."""
    for error in group.exceptions:
        found = first_error(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, AgaveError):
            return found
    return None
