"""How programs speak with mounts: a line each way, and nobody waits for long."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest
import trio

from agavesh.client import mounts
from agavesh.client.errors import Unreachable
from agavesh.client.mounts import Answer, Ask

URL = "http://127.0.0.1:1"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where mounts have their cards: longer than any socket's address may be."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ("deep" * 30)))
    (mounts.state_folder() / "mounts").mkdir(parents=True)
    return mounts.state_folder()


def card(state: Path, owner: str, account: str) -> None:
    text = msgspec.json.encode({"owner": owner, "account": account, "more": 1})
    (state / "mounts" / f"{owner}.json").write_bytes(text)


class Mount:
    """One that listens, and remembers."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []

    async def act(self, ask: Ask) -> Answer:
        self.asked.append(ask)
        return Answer(text="done")


async def test_a_mount_answers_what_it_is_asked(state: Path, nursery: trio.Nursery) -> None:
    mount, path = Mount(), mounts.socket_of("one", state)
    with mounts.bound(path) as plain:
        nursery.start_soon(mounts.listen, plain, mount.act)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        question = Ask("refresh", ["/a"], ["b"])
        assert await mounts.ask(path, question) == Answer("done")
        assert mount.asked == [question]
        nursery.cancel_scope.cancel()
    assert not path.exists()
    with pytest.raises(Unreachable):
        await mounts.ask(path, question)


async def test_what_is_no_question_is_told_so_and_ends_nothing(state: Path, nursery: trio.Nursery) -> None:
    mount, path = Mount(), mounts.socket_of("one", state)
    with mounts.bound(path) as plain:
        nursery.start_soon(mounts.listen, plain, mount.act)
        for text in (b"what?\n", b'{"act": 7}\n', b"\n", b"[]", b""):
            with mounts._short(path) as place:
                stream = await trio.open_unix_socket(place)
            async with stream:
                await stream.send_all(text)
                stream.socket.shutdown(trio.socket.SHUT_WR)
                answer = b"".join([part async for part in stream])
                assert b"no question" in answer
        assert (await mounts.ask(path, Ask("refresh"))).text == "done"
        nursery.cancel_scope.cancel()


async def test_only_the_mounts_of_a_tenant_are_told(state: Path, nursery: trio.Nursery) -> None:
    ours, theirs = Mount(), Mount()
    card(state, "ours", f"alice@{URL}")
    card(state, "theirs", "alice@https://elsewhere")
    card(state, "dead", f"alice@{URL}")
    (state / "mounts/garbage.json").write_text("{")
    with (
        mounts.bound(mounts.socket_of("ours", state)) as one,
        mounts.bound(mounts.socket_of("theirs", state)) as other,
    ):
        nursery.start_soon(mounts.listen, one, ours.act)
        nursery.start_soon(mounts.listen, other, theirs.act)
        await mounts.tell(URL, {"/b", "/a"})
        assert ours.asked == [Ask("refresh", ["/a", "/b"])]
        await mounts.tell(URL, {str(number) for number in range(2000)})
        assert ours.asked[1:] == [Ask("refresh", ["/"])]
        assert not theirs.asked
        nursery.cancel_scope.cancel()


async def test_who_tells_waits_no_longer_than_courtesy_asks(
    state: Path, autojump_clock: trio.testing.MockClock
) -> None:
    for number in range(20):
        card(state, f"frozen{number}", f"alice@{URL}")
    with mounts.bound(mounts.socket_of("frozen0", state)), mounts.bound(mounts.socket_of("frozen1", state)):
        # connections are taken by the kernel, and nobody answers
        await mounts.tell(URL, {"/a"})
    assert trio.current_time() == mounts.COURTESY


async def test_without_mounts_telling_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "none"))
    await mounts.tell(URL, {"/a"})
