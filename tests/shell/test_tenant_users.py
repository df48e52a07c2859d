"""`agavesh tenant user`: on a tenant that serves, and on one that does not. Passwords come by standard input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from agavesh.client.local import local_account
from tests.shell.conftest import Shell, agavesh

FIRST, SECOND = "a first password", "a second one"


@asynccontextmanager
async def serving(root: Path) -> AsyncIterator[dict[str, Any]]:
    """The folder, served by a program of its own; what its tenant.json says."""
    async with trio.open_nursery() as nursery:
        command = [sys.executable, "-m", "agavesh", "tenant", "serve", "--root", str(root)]
        process = await nursery.start(lambda **more: trio.run_process(command, check=False, **more))
        with trio.fail_after(60):
            while not (root / "tenant.json").exists():
                assert process.poll() is None
                await trio.sleep(0.02)
        yield json.loads((root / "tenant.json").read_text())
        process.terminate()


async def status_of_sign_in(card: dict[str, Any], user: str, password: str) -> int:
    form = {"grant_type": "password", "username": user, "password": password}
    async with httpx.AsyncClient(trust_env=False) as http:
        client = (card["client"]["key"], card["client"]["secret"])
        return (await http.post(f"{card['url']}/token", data=form, auth=client)).status_code


def line(verb: str, *words: str, root: Path) -> str:
    return " ".join(["tenant user", verb, *words, "--root", str(root)])


async def script(*lines: str, passwords: tuple[str, ...] = ()) -> Any:
    typed = "".join(f"{password}\n" for password in passwords).encode()
    return await agavesh("-c", "; ".join(lines), stdin=typed)


async def users(root: Path) -> dict[str, tuple[bool, str]]:
    said = await script(line("list", "-o json", root=root))
    assert said.status == 0, said.err
    return {user["username"]: (user["admin"], user["email"]) for user in json.loads(said.out)}


async def story(root: Path) -> None:
    """Zoe is added, is given another password, and goes; what is wrong is refused."""
    names = "--email zoe@example.org --first-name Zoe --last-name Zander"
    added = await script(
        line("add", "zoe", names, "--password-stdin", root=root),
        line("add", "max", "--admin --password-stdin", root=root),
        line("password", "zoe", "--password-stdin", root=root), line("list", root=root),
        passwords=(FIRST, FIRST, SECOND),
    )  # fmt: skip
    assert added.status == 0, added.err
    assert added.err.splitlines() == [
        "agavesh: added zoe", "agavesh: added max, an administrator",
        "agavesh: zoe has a new password, and signs in anew",
    ]  # fmt: skip
    assert [row.split() for row in added.lines][-2:] == [
        ["zoe", "zoe@example.org", "Zoe", "Zander"],
        ["max", "admin", "max@localhost"],
    ]
    for refused, words in [
        (line("add", "zoe", "--password-stdin", root=root), "is taken"),
        (line("add", "'a b'", "--password-stdin", root=root), "username"),
        (line("password", "nobody", "--password-stdin", root=root), "nobody"),
        (line("remove", "alice", root=root), "cannot be removed"),
        (line("remove", "nobody", root=root), "nobody"),
    ]:
        said = await script(refused, passwords=(FIRST,))
        assert (said.status != 0, words in said.err) == (True, True), (refused, said.err)
    short = await script(line("add", "tim", "--password-stdin", root=root), passwords=("short",))
    assert (short.status != 0, "password" in short.err, "short" in short.err) == (True, True, False)
    assert (await script(line("remove", "max", root=root))).status == 0
    assert await users(root) == {
        "alice": (False, "alice@example.org"), "bob": (False, "bob@example.org"), "admin": (True, "admin@example.org"),
        "zoe": (False, "zoe@example.org"),
    }  # fmt: skip


async def test_users_of_a_tenant_that_does_not_serve(tenant_root: Path) -> None:
    await story(tenant_root)
    own = await script(line("password", "alice", "--password-stdin", root=tenant_root), passwords=(SECOND,))
    assert own.status == 0, own.err
    async with serving(tenant_root) as card:
        assert card["users"][0] == {"username": "alice", "password": SECOND, "admin": False}
        assert [await status_of_sign_in(card, "zoe", each) for each in (FIRST, SECOND)] == [400, 200]
        assert await status_of_sign_in(card, "alice", SECOND) == 200


async def test_users_of_a_tenant_that_serves(tenant_root: Path, tmp_path: Path) -> None:
    async with serving(tenant_root) as card:
        await story(tenant_root)
        assert [await status_of_sign_in(card, "zoe", each) for each in (FIRST, SECOND)] == [400, 200]
        changes = [line("password", name, "--password-stdin", root=tenant_root) for name in ("admin", "alice")]
        # by the second, the first has changed what it signs in with
        assert (await script(*changes, passwords=(FIRST, SECOND))).status == 0
        found = json.loads((tenant_root / "tenant.json").read_text())["users"]
        assert [user["password"] for user in found if user["username"] != "bob"] == [SECOND, FIRST]
        account = await local_account(tenant_root)
        assert (account.username, account.access_token is not None) == ("alice", True)
        # the administrator's sign-in is nobody's saved login
        assert {path.name for path in (tmp_path / "agave").iterdir()} <= {".agavesh.lock"}


async def test_a_password_is_asked_for_twice(
    shell: Shell, tenant_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "other"
    subprocess.run(["cp", "-a", tenant_root, root], check=True)
    nobody = await shell(line("add", "zoe", root=root))
    assert (nobody.status != 0, "--password-stdin" in nobody.err) == (True, True)
    typed = iter([FIRST, SECOND, FIRST, FIRST])
    asked: list[tuple[str, bool]] = []

    def answer(question: str, secret: bool) -> str:
        asked.append((question, secret))
        return next(typed)

    monkeypatch.setattr(type(shell.here.console), "can_ask", True)
    shell.here.console.asker = answer
    (root / "lock").unlink()  # it was copied from one that serves
    differs = await shell(line("add", "zoe", root=root))
    assert (differs.status != 0, "not the same" in differs.err) == (True, True)
    await shell.good(line("add", "zoe", root=root))
    assert asked == [("new password of zoe: ", True), ("once more: ", True)] * 2


async def test_where_there_is_no_tenant_there_are_no_users(tmp_path: Path) -> None:
    said = await script(line("list", root=tmp_path / "nowhere"))
    assert (said.status != 0, "no tenant is kept" in said.err) == (True, True)
    assert not (tmp_path / "nowhere").exists()
