"""AgavePy 0.9.5 itself, on both sides of an actor: a user who sends, and a program that answers.

The story runs once, in `agavepy_actors.py`; each test reads one chapter of it. The program is `agavepy_image.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agavesh.tenant.confine import bubblewrap

from .processes import served
from .test_agavepy import chapter


@pytest.fixture(scope="module")
def story(agavepy_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By chapter, what AgavePy saw."""
    folder = tmp_path_factory.mktemp("actors")
    facts = folder / "facts.json"
    image = folder / "tenant" / "images" / "abacosamples" / "py3_func:dev"
    image.parent.mkdir(parents=True)
    program = Path(__file__).with_name("agavepy_image.py").read_text()
    image.write_text(f"#!/usr/bin/env -S {agavepy_python} -W ignore\n{program}")
    image.chmod(0o755)
    readable = agavepy_python.parents[1]
    with served(folder / "tenant", "--tls", "--readable", f"{readable}:{readable.resolve()}") as tenant:
        environment = {"PATH": os.defpath, "HOME": str(folder), "REQUESTS_CA_BUNDLE": tenant["ca_cert"]}
        script, about = Path(__file__).with_name("agavepy_actors.py"), folder / "tenant" / "tenant.json"
        done = subprocess.run(
            [agavepy_python, "-W", "ignore", script, about, facts],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    book: dict[str, Any] = json.loads(facts.read_text())
    return book


def test_it_keeps_actors_workers_permissions_and_nonces(story: dict[str, Any]) -> None:
    assert chapter(story, "records") == {
        "submitted": "SUBMITTED", "listed": True, "ready": True, "renamed": "renamed",
        "workers": 2, "worker": "READY", "one less": True, "granted": {"alice": "UPDATE", "bob": "EXECUTE"},
        "permissions": {"alice": "UPDATE", "bob": "EXECUTE"}, "nonces": True, "opened": True, "uses left": 2,
        "no nonces": 0, "gone": 0,
    }  # fmt: skip


def test_a_message_is_answered_by_a_program_that_asks_for_its_context(story: dict[str, Any]) -> None:
    facts = chapter(story, "messages")
    context = facts.pop("context")
    assert facts == {
        "msg": "{'n': 7}", "status": "COMPLETE", "exit": 0, "waiting": 0, "executions": True, "total": 1,
    }  # fmt: skip
    assert context["message_dict"] == {"n": 7}
    expected = {"raw_message": "{'n': 7}", "username": "alice", "state": "{}", "SHADE": "dark"}
    assert {name: context[name] for name in expected} == expected
    assert context["actor_id"] == context["actor_dbid"] != ""


def test_a_program_changes_its_state_with_the_token_that_it_is_given(story: dict[str, Any]) -> None:
    assert chapter(story, "state") == {
        "before": {"count": 1}, "exit": 0, "log": "counted to 2\n", "after": {"count": 2},
    }  # fmt: skip


@pytest.mark.skipif(bubblewrap() is None, reason="AgavePy has the paths of a container built in; see docs/tenant.md")
def test_functions_are_sent_run_and_their_results_fetched(story: dict[str, Any]) -> None:
    assert chapter(story, "executor") == {
        "first": [[7, "ü", [3, 3, 3]]], "squares": [[1], [4], [9]], "large": [900_000], "no pickle": 1, "empty": 0,
    }  # fmt: skip
