"""AgavePy 0.9.5 itself, unchanged, at the embedded tenant over TLS: what its users do works.

The story runs once, in `agavepy_story.py`; each test reads one chapter of it.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .processes import served

NAME = "ü b+c.txt"
JOB_EVENTS = ["PENDING", "PROCESSING_INPUTS", "STAGED", "RUNNING", "CLEANING_UP", "ARCHIVING", "FINISHED"]


@pytest.fixture(scope="module")
def story(agavepy_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By chapter, what AgavePy saw."""
    folder = tmp_path_factory.mktemp("story")
    (folder / "home").mkdir()
    facts = folder / "facts.json"
    with served(folder / "tenant", "--tls") as tenant:
        # the functions for people take no certificate: requests reads this variable for them
        environment = {"PATH": os.defpath, "HOME": str(folder / "home"), "REQUESTS_CA_BUNDLE": tenant["ca_cert"]}
        program, about = Path(__file__).with_name("agavepy_story.py"), folder / "tenant" / "tenant.json"
        done = subprocess.run(
            [agavepy_python, "-W", "ignore", program, about, facts],
            env=environment, input=f"{tenant['users'][0]['password']}\n" * 3, capture_output=True, text=True,
            start_new_session=True,  # without a terminal AgavePy reads the password from its standard input
            timeout=240,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    book: dict[str, Any] = json.loads(facts.read_text())
    return book


def chapter(story: dict[str, Any], name: str) -> dict[str, Any]:
    facts = story[name]
    assert isinstance(facts, dict), facts  # else it is the traceback of what broke it off
    return facts


def test_it_signs_in_refreshes_and_mends_a_dead_token_by_itself(story: dict[str, Any]) -> None:
    facts = chapter(story, "token")
    assert (facts["access_token"], facts["refresh_token"]) == ("str", "str")
    assert facts["expires_in"] > 0
    assert (facts["changed"], facts["mended"], facts["user"]) == (True, True, "alice")


def test_it_lists_adds_changes_shares_and_removes_systems(story: dict[str, Any]) -> None:
    facts = chapter(story, "systems")
    assert {"data.demo", "run.demo"} <= set(facts["ids"])
    assert "data.demo" in facts["storage"]
    assert "run.demo" not in facts["storage"]
    assert facts["one page"] == 1
    assert facts["system"] == {"id": "data.demo", "type": "STORAGE", "public": True}
    assert (facts["added"], facts["renamed"]) == ("agavepy.store", "still its own")
    assert ["bob", "USER"] in facts["roles"]
    assert "bob" not in facts["roles left"]
    assert (facts["gone"], facts["unknown"]) == (True, 404)


def test_it_uploads_lists_and_downloads_files(story: dict[str, Any]) -> None:
    facts = chapter(story, "files")
    assert facts["uploaded"] == NAME
    assert facts["names"] == [".", NAME]
    assert facts["entry"] == {"path": f"/alice/agave py/{NAME}", "length": 26, "type": "file", "system": "data.demo"}
    assert facts["dated"] == "datetime"
    assert (facts["same bytes"], facts["link"], facts["by uri"], facts["imported"]) == (True, True, True, True)
    assert facts["part"] == [206, "line"]


def test_it_renames_copies_moves_and_deletes_files(story: dict[str, Any]) -> None:
    facts = chapter(story, "files")
    assert facts["changed"] == [".", "moved.txt", "renamed.txt"]
    assert facts["renames never replace"] == 400
    assert (facts["deleted"], facts["left"]) == (404, [".", "imported.txt", "renamed.txt"])
    assert facts["folder gone"] == 404


def test_it_finds_one_folder_by_root_home_and_default_system_and_page_by_page(story: dict[str, Any]) -> None:
    facts = chapter(story, "files")
    everything = [".", "imported.txt", "moved.txt", "renamed.txt"]
    assert facts["from home"] == facts["default system"] == everything
    assert [len(part) for part in facts["slices"]] == [2, 2, 0]
    assert sorted(name for part in facts["slices"] for name in part) == everything
    assert facts["slices"][0][0] == "."


def test_it_grants_and_revokes_permissions_and_reads_the_history_of_files(story: dict[str, Any]) -> None:
    facts = chapter(story, "files")
    assert "bob" not in facts["permissions"]["before"]
    assert facts["permissions"]["granted"] == {"read": True, "write": False, "execute": False}
    assert facts["permissions"]["after"] == facts["permissions"]["before"]
    assert {"PERMISSION_GRANT", "PERMISSION_REVOKE"} <= set(facts["history"])
    assert facts["foreign"] == 403


def test_it_finds_apps_by_list_name_system_and_search(story: dict[str, Any]) -> None:
    facts = chapter(story, "apps")
    assert {"crash-1.0", "ticker-1.0", "wordcount-1.0"} <= set(facts["ids"])
    assert facts["quick"] == {
        "id": "wordcount-1.0", "name": "wordcount", "version": "1.0", "executionSystem": "run.demo", "isPublic": True,
    }  # fmt: skip
    assert "text" in facts["inputs"]
    assert facts["by name"] == facts["searched"] == ["wordcount-1.0"]
    assert facts["by system"] == facts["ids"]
    assert facts["filtered"] == [{"id": "wordcount-1.0", "version": "1.0"}]
    assert facts["unknown"] == 404


def test_it_submits_a_job_follows_it_and_reads_its_outputs(story: dict[str, Any]) -> None:
    facts = chapter(story, "jobs")
    assert facts["submitted"] == {"name": "Count them", "appId": "wordcount-1.0", "status": "PENDING"}
    assert facts["end"] == "FINISHED", facts["message"]
    assert facts["times"] == ["datetime", "datetime"]
    assert [event for event in facts["history"] if event in JOB_EVENTS] == JOB_EVENTS
    assert (facts["listed"], facts["searched"]) == (True, True)
    assert {"wordcount.txt", "count-them.out", "count-them.err"} <= set(facts["outputs"])
    assert "3" in facts["output"]
    assert facts["by link"] is True


def test_it_sees_why_a_job_failed_and_stops_resubmits_hides_and_shares_others(story: dict[str, Any]) -> None:
    facts = chapter(story, "jobs")
    assert facts["failed"] == "FAILED"
    assert facts["why"]
    assert facts["stopped"] == "STOPPED"
    assert facts["resubmitted"] == "FINISHED"
    assert facts["hidden"] == 404
    assert facts["granted"] == ["alice", "bob"]
    assert facts["unknown app"] in (400, 404)


def test_it_makes_uses_and_deletes_an_oauth_client(story: dict[str, Any]) -> None:
    facts = chapter(story, "clients")
    assert (facts["before"], facts["created"], facts["usable"]) == (False, True, "alice")
    assert facts["found"] is True
    assert (facts["apis"], facts["after"]) == (True, False)


def test_its_functions_for_people_work_from_client_to_delete(story: dict[str, Any]) -> None:
    facts = chapter(story, "at_the_prompt")
    assert (facts["signed in"], facts["refreshed"], facts["same bytes"]) == (True, True, True)
    assert "prompt.txt" in facts["printed"]
    assert "STAGING_COMPLETED" in facts["printed"]
    assert "bob           yes" in facts["printed"]
