"""The engine: trio in a thread behind the prompt."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trio

from agavesh.client.errors import BadArgument
from agavesh.shell.commands import all_commands
from agavesh.shell.console import Console
from agavesh.shell.engine import Engine, Interrupted
from agavesh.shell.session import Session


def answers(question: str, secret: bool) -> str:
    assert threading.current_thread() is threading.main_thread()
    if question == "quit":
        raise KeyboardInterrupt
    return f"{question} {secret}"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("AGAVE_BASE_URL", "http://127.0.0.1:1")  # nobody there: the engine does not care
    monkeypatch.setenv("AGAVE_TOKEN", "none")
    made = Engine(Session(Console(), all_commands()), answers)
    yield made
    made.close()


def test_work_is_done_in_its_thread_and_its_result_comes_back(engine: Engine) -> None:
    async def work() -> tuple[int, str]:
        await trio.sleep(0)
        return 42, threading.current_thread().name

    assert engine.run(work) == (42, "trio")


def test_what_work_raises_comes_back_and_the_engine_goes_on(engine: Engine) -> None:
    async def wrong() -> None:
        raise BadArgument("wrong")

    async def right() -> int:
        return 1

    with pytest.raises(BadArgument, match="wrong"):
        engine.run(wrong)
    assert engine.run(right) == 1


def test_an_interrupt_cancels_the_work_that_runs_and_nothing_else(engine: Engine) -> None:
    begun = threading.Event()
    ended: list[str] = []

    async def work() -> None:
        try:
            begun.set()
            await trio.sleep_forever()
        finally:
            ended.append("cleaned up")

    def interrupt() -> None:
        begun.wait()
        engine.on_interrupt()

    engine.on_interrupt()  # with nothing to cancel, nothing happens
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Interrupted):
        engine.run(work)
    thread.join()
    assert ended == ["cleaned up"]


def test_a_question_is_asked_in_the_main_thread(engine: Engine) -> None:
    async def work() -> str:
        return await trio.to_thread.run_sync(engine.ask, "who", True, abandon_on_cancel=True)

    assert engine.run(work) == "who True"


def test_a_question_that_is_not_answered_cancels_the_work(engine: Engine) -> None:
    async def work() -> str:
        return await trio.to_thread.run_sync(engine.ask, "quit", False, abandon_on_cancel=True)

    with pytest.raises((Interrupted, BadArgument)):
        engine.run(work)


def test_a_call_from_the_prompts_loop_can_be_given_up(engine: Engine) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def work() -> None:
        try:
            begun.set()
            await trio.sleep_forever()
        finally:
            ended.set()

    async def prompt() -> None:
        call = asyncio.ensure_future(engine.call(work))
        await asyncio.to_thread(begun.wait)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    engine.start()
    asyncio.run(prompt())
    assert ended.wait(10)


def test_a_fault_that_ends_the_engine_is_told_to_all_who_wait(engine: Engine) -> None:
    here: Any = engine._here

    async def work() -> None:
        async def fault() -> None:
            raise ZeroDivisionError

        here._nursery.start_soon(fault)
        await trio.sleep_forever()

    with pytest.raises((BaseExceptionGroup, Interrupted)):
        engine.run(work)
    assert engine.ready.is_set()
