"""AgavePy 0.9.5 itself, unchanged, at the embedded tenant over TLS: all 120 operations, each with what came of it.

The story is told once, in `chapters/`, each act by a process of its own; each test reads chapters of it. What AgavePy
reads our client reads too, and both must find the same; what AgavePy writes is read back by another call.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agavesh.api import catalogue
from agavesh.tenant.confine import bubblewrap
from tests.conftest import SAID

from .telling import Story, told

NAME = "ü b+c.txt"
JOB_EVENTS = ["PENDING", "PROCESSING_INPUTS", "STAGED", "RUNNING", "CLEANING_UP", "ARCHIVING", "FINISHED"]
ALL = ["read", "write", "execute"]
DOCUMENTED = {one.key: one for one in catalogue.operations() if one.documented}
REFUSED = "jobs.deletePermissionsForUser"  # its path names jobId, its parameter is called uniqueName


@pytest.fixture(scope="module")
def story(agavepy_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    return told(agavepy_python, tmp_path_factory.mktemp("story"))


def test_all_120_operations_were_called_and_but_one_that_cannot_they_succeeded(
    story: Story, record_property: Callable[[str, object], None]
) -> None:
    done = {key for key, status in story.calls if status < 300}
    assert {key for key, _ in story.calls} >= set(DOCUMENTED)
    assert set(DOCUMENTED) - done == {REFUSED}
    # roles of a public system, permissions of a public app: the platform declares them
    assert {key for key, status in story.calls if status >= 500} == {"systems.listRoles", "apps.listPermissions"}
    record_property(
        SAID,
        f"AgavePy 0.9.5 over TLS: {len(DOCUMENTED)} documented operations in {len(story.calls)} calls, "
        f"{len(done & set(DOCUMENTED))} with success; {len(story.compared)} compared with ours, all equal",
    )
    assert len(DOCUMENTED) == 120


def test_whatever_it_reads_our_client_reads_too(story: Story) -> None:
    reads = {key for key, operation in DOCUMENTED.items() if operation.method == "GET"}
    assert set(story.compared) <= {one.key for one in catalogue.operations()}
    # each has an answer that AgavePy cannot read or that is another at the next look: chapters compare what is left
    assert reads - set(story.compared) == {
        "apps.listPermissionsForUser", "jobs.listPermissionsForUser", "jobs.downloadOutput",
        "actors.listWorkers", "actors.getOneExecutionResult",
    }  # fmt: skip


def test_it_signs_in_refreshes_and_mends_a_dead_token_by_itself(story: Story) -> None:
    facts = story["tokens"]
    assert (facts["access_token"], facts["refresh_token"]) == ("str", "str")
    assert facts["expires_in"] > 0
    assert (facts["changed"], facts["mended"], facts["user"]) == (True, True, "alice")


def test_it_finds_people(story: Story) -> None:
    assert story["profiles"] == {
        "me": ["alice", "alice@example.org", "Alice", "Arbor"], "bob": ["bob", "bob@example.org", "Bob Birch"],
        "all": ["admin", "alice", "bob"], "by mail": ["bob"], "by name": ["alice"], "nobody": 0, "unknown": 404,
        "seen by bob": "bob",
    }  # fmt: skip


def test_it_lists_adds_changes_clones_publishes_and_removes_systems(story: Story) -> None:
    facts = story["systems"]
    assert {"data.demo", "run.demo"} <= set(facts.pop("ids"))
    assert facts == {
        "storage": ["data.demo"], "one page": 1, "system": {"id": "data.demo", "type": "STORAGE", "public": True},
        "added": "agavepy.store", "as it is": [1, "data.example.org", {"type": "PASSWORD"}, "alice"],
        "renamed": "still its own", "read back": ["still its own", 2], "default": [True, False],
        "disabled": 400, "enabled": ["."], "cloned": ["agavepy.clone", "still its own"], "clone gone": True,
        "not bob's": 403, "no publisher": 403, "published": True, "private again": False,
        "gone": True, "erased": 404, "unknown": 404,
    }  # fmt: skip


def test_a_role_opens_a_system_to_a_second_user_and_closes_it_again(story: Story) -> None:
    stranger = {"see": 403, "list": 404, "grant": 403}
    assert story["roles"] == {
        "first": {"alice": "OWNER"}, "stranger": stranger,
        "granted": {"alice": "OWNER", "bob": "USER"}, "user": {"see": 0, "list": 0, "grant": 403},
        "raised": ["ADMIN"], "manager": {"see": 0, "list": 0, "grant": 0},
        "by bob": {"alice": "OWNER", "bob": "ADMIN", "admin": "USER"},
        "one taken": {"alice": "OWNER", "admin": "USER"}, "again": stranger, "all taken": {"alice": "OWNER"},
        "of a public one": 501,
    }  # fmt: skip


def test_credentials_are_kept_by_user_and_kind_and_their_secret_is_never_told(story: Story) -> None:
    mine, keys = [None, "PASSWORD", "storage", True], [None, "SSHKEYS", "storage", True]
    ann, anns_keys = ["ann", "PASSWORD", "storage", True], ["ann", "SSHKEYS", "storage", True]
    assert story["credentials"] == {
        "internal user": 201, "first": [mine], "keys": [keys], "of ann": [ann], "by type": [anns_keys],
        "all": [keys, anns_keys], "not bob's": 403, "nobody's": 404, "type taken": [], "ann's taken": [keys],
        "none": [], "told": False,
    }  # fmt: skip


def test_it_uploads_lists_and_downloads_files_byte_by_byte(story: Story) -> None:
    facts = story["files"]
    assert (facts["made"], facts["uploaded"], facts["names"]) == ("/alice/agave py", NAME, [".", NAME])
    assert facts["entry"] == {"path": f"/alice/agave py/{NAME}", "length": 26, "type": "file", "system": "data.demo"}
    assert facts["dated"] == "datetime"
    assert (facts["same bytes"], facts["large"], facts["link"], facts["by uri"]) == (True, True, True, True)
    assert facts["part"] == [206, "line"]


def test_it_renames_copies_moves_imports_and_deletes_files(story: Story) -> None:
    facts = story["files"]
    assert (facts["changed"], facts["copied bytes"]) == ([".", "moved.txt", "renamed.txt"], [True, True])
    assert (facts["renames never replace"], facts["imported"]) == (400, True)
    assert (facts["deleted"], facts["left"]) == (404, [".", "imported.txt", "renamed.txt"])
    assert facts["folder gone"] == 404


def test_it_finds_one_folder_by_root_home_and_default_system_and_page_by_page(story: Story) -> None:
    facts = story["files"]
    everything = [".", "imported.txt", "moved.txt", "renamed.txt"]
    assert facts["from home"] == facts["default system"] == everything
    assert [len(part) for part in facts["slices"]] == [2, 2, 0]
    assert sorted(name for part in facts["slices"] for name in part) == everything
    assert facts["slices"][0][0] == "."


def test_a_grant_opens_a_file_to_a_second_user_until_it_is_taken(story: Story) -> None:
    facts = story["files"]
    assert facts["permissions"] == {
        "before": ["alice"], "bob before": [403, 403],
        "granted": {"read": True, "write": False, "execute": False}, "bob": [0, 403],
        "after": ["alice"], "bob after": [403, 403],
    }  # fmt: skip
    assert {"MOVED", "DOWNLOAD", "PERMISSION_GRANT", "PERMISSION_REVOKE"} <= set(facts["history"])
    assert facts["foreign"] == 403


def test_paths_without_a_system_mean_the_default_one(story: Story) -> None:
    facts = story["on_default_system"]
    events = facts.pop("events")
    assert [one for one in events if one != "DOWNLOAD"] == [
        "CREATED", "STAGING_QUEUED", "UPLOAD", "STAGING_COMPLETED", "PERMISSION_GRANT",
    ]  # fmt: skip
    assert facts == {
        "made": "/alice/default", "empty": ["."], "uploaded": "data.demo", "same bytes": True, "imported": True,
        "bob before": 403, "granted": {"alice": True, "bob": True}, "bob": True,
        "renamed": [".", "again.txt", "renamed.txt"], "left": [".", "again.txt"], "gone": 404,
    }  # fmt: skip


def test_what_is_said_of_an_upload_is_lost_by_agavepy_and_not_by_ours(story: Story) -> None:
    assert story["files"]["faults"] == {
        "theirs": "plain.txt", "theirs by default": "default.txt",
        "ours": "named.txt", "ours by default": "by default.txt",
        "theirs told": "sequence item 0: expected str instance, dict found", "ours told": "told.txt",
        "plain.txt": True, "default.txt": True, "named.txt": True, "by default.txt": True, "told.txt": True,
    }  # fmt: skip
    [hook] = [one for one in story.told if one.path == "/import"]
    assert hook.query == (("event", "STAGING_COMPLETED"),)
    assert hook.body["path"] == "/alice/agave py/told.txt"


def test_it_finds_apps_by_list_name_system_and_search(story: Story) -> None:
    facts = story["apps"]
    assert {"crash-1.0", "ticker-1.0", "wordcount-1.0"} <= set(facts["ids"])
    assert facts["quick"] == {
        "id": "wordcount-1.0", "name": "wordcount", "version": "1.0", "executionSystem": "run.demo", "isPublic": True,
    }  # fmt: skip
    assert "text" in facts["inputs"]
    assert facts["by name"] == facts["searched"] == ["wordcount-1.0"]
    assert facts["by system"] == facts["ids"]
    assert facts["filtered"] == [{"id": "wordcount-1.0", "version": "1.0"}]
    assert facts["unknown"] == 404


def test_it_registers_changes_disables_clones_publishes_and_deletes_an_app(story: Story) -> None:
    facts = dict(story["own_app"])
    facts.pop("shared")
    assert facts == {
        "without files": 400, "added": ["greeter-1.0", 1, "alice", False],
        "as it is": ["Greeter", ["agavepy"], "[a-z ]+"], "private": ["greeter-1.0"], "refused": 400,
        "updated": ["A greeter", 2], "disabled": [False, 400], "enabled": True,
        "cloned": ["cloned-2.0", ["cloned-2.0"]], "clone gone": 404,
        "no publisher": 403, "published": ["greeter-1.0u2", True], "public": True, "pems of a public one": 501,
        "gone": 404,
    }  # fmt: skip


def test_a_grant_opens_an_app_to_a_second_user_until_it_is_taken(story: Story) -> None:
    assert story["own_app"]["shared"] == {
        "first": {"alice": ALL}, "stranger": [403, 403],
        "granted": {"alice": ALL, "bob": ["read"]}, "reader": [0, 403],
        "fields": ["_links", "internalUsername", "permission", "username"],
        "more": {"read": True, "write": False, "execute": True},
        "taken": {"alice": ALL}, "bob again": [403, 403], "all taken": {"alice": ALL},
    }  # fmt: skip


def test_it_submits_a_job_follows_it_and_reads_its_outputs(story: Story) -> None:
    facts = story["jobs"]
    assert facts["submitted"] == {"name": "Count them", "appId": "wordcount-1.0", "status": "PENDING"}
    assert facts["end"] == facts["status"] == "FINISHED", facts["message"]
    assert facts["times"] == ["datetime", "datetime"]
    assert [event for event in facts["history"] if event in JOB_EVENTS] == JOB_EVENTS
    assert (facts["listed"], facts["searched"]) == (True, True)
    assert {"wordcount.txt", "count-them.out", "count-them.err"} <= set(facts["outputs"])
    assert facts["output"].split() == ["1", "3", "19", "words.txt"]
    assert facts["ours"] == facts["output"]
    assert facts["by link"] is True


def test_it_sees_why_a_job_failed_and_stops_resubmits_hides_and_restores_others(story: Story) -> None:
    facts = story["jobs"]
    assert facts["failed"] == "FAILED"
    assert "exit code 3: no such luck" in facts["why"]
    assert (facts["stopped"], facts["resubmitted"]) == ("STOPPED", "FINISHED")
    assert (facts["hidden"], facts["hidden to ours"], facts["restored"]) == (404, "NotFound", "FINISHED")
    assert facts["unknown app"] in (400, 404)


def test_the_parameter_of_a_job_is_in_its_result_and_its_end_is_told(story: Story) -> None:
    facts = story["shared_job"]
    assert (facts["refused"], facts["end"], facts["result"]) == (400, "FINISHED", {"greeting": "good day"})
    assert '"greeting": "good day"' in facts["ours"]
    [hook] = [one for one in story.told if one.path == "/job"]
    assert hook.query == (("name", "Greet"), ("status", "FINISHED"))
    assert (hook.body["appId"], hook.body["parameters"]) == ("greeter-1.0", {"greeting": "good day"})


def test_a_grant_opens_a_job_to_a_second_user_until_ours_takes_it(story: Story) -> None:
    """What AgavePy sends to take it has the braces of the path in it, and is refused."""
    facts, owner = story["shared_job"], {"alice": ["read", "write"]}
    assert (facts["first"], facts["stranger"]) == (owner, [403, 401, 403])
    assert (facts["granted"], facts["reader"]) == (owner | {"bob": ["read"]}, [0, 0, 403])
    assert (facts["more"], facts["writer"]) == ({"read": True, "write": True}, [0, 0, 0])
    assert facts["fields"] == ["_links", "internalUsername", "permission", "username"]
    assert (facts["theirs cannot take"], facts["still there"]) == (404, owner | {"bob": ["read", "write"]})
    assert {status for key, status in story.calls if key == REFUSED} == {404}
    assert (facts["ours can"], facts["taken"], facts["bob again"]) == (None, owner, [403, 401, 403])
    assert facts["all taken"] == owner


def test_the_outputs_of_a_job_need_a_path_from_agavepy_and_none_from_ours(story: Story) -> None:
    facts = story["shared_job"]
    assert facts["theirs wants a path"] == "Missing required parameter 'filePath' for 'listOutputs'"
    assert {"result.json", "greet.out"} <= set(facts["ours does not"])


def test_it_keeps_documents_and_finds_them_by_what_they_hold(story: Story) -> None:
    facts = dict(story["metadata"])
    facts.pop("shared")
    assert facts == {
        "made": ["tree", {"species": "alba", "height": 2.5}, "alice", "datetime"],
        "named": [2.5, 12.5, 22.5, 32.5], "by value": [2.5, 22.5], "high": [12.5, 22.5, 32.5], "either": [2.5, 32.5],
        "like": [12.5], "page": 2, "bad query": 400, "changed": [True, True], "about": True, "found by bob": 0,
        "gone": [404, []],
    }  # fmt: skip


def test_a_document_keeps_to_its_schema(story: Story) -> None:
    facts = dict(story["schemas"])
    facts.pop("shared")
    assert facts == {
        "no schema": 400, "made": ["alice", "A sample", ["species"]], "kept": True, "refused": 400,
        "updated": "A tree", "refused now": 400, "found": True, "ours by q": True, "gone": 404,
        "theirs wants a uuid": "Missing required parameter 'uuid' for 'searchSchema'",
    }  # fmt: skip


@pytest.mark.parametrize("chapter", ["metadata", "schemas"])
def test_a_grant_opens_a_document_or_a_schema_to_a_second_user_until_it_is_taken(story: Story, chapter: str) -> None:
    owner = {"alice": ["read", "write"]}
    assert story[chapter]["shared"] == {
        "first": owner, "stranger": 403, "granted": owner | {"bob": ["read"]}, "reader": 0, "reader writes": 403,
        "more": {"read": True, "write": True}, "taken": owner, "bob again": 403, "all taken": owner,
    }  # fmt: skip


def test_a_hook_is_told_once_or_each_time_and_what_its_url_asks_for(story: Story) -> None:
    facts = dict(story["notifications"])
    about = facts.pop("about")
    assert facts == {
        "bad": 400, "made": ["alice", "*", True, "ACTIVE", 0], "listed": True,
        "always": ["ACTIVE", True, 200, 2], "once": ["COMPLETE", 1], "fired": 412, "changed": ["DELETED", True],
        "not bob's": [403, 403], "deleted": 404, "left": 0,
    }  # fmt: skip
    heard = [(one.path, dict(one.query), one.body["value"]) for one in story.told if one.path[1:] in NAMES]
    expected: list[tuple[str, dict[str, Any], int]] = [
        ("/always", {"event": "UPDATED", "uuid": about, "by": "alice"}, 1),
        ("/always", {"event": "UPDATED", "uuid": about, "by": "alice"}, 2),
        ("/changed", {"event": "DELETED", "uuid": about, "by": "alice"}, 2),
        ("/once", {"event": "UPDATED", "uuid": about, "by": "alice"}, 1),
    ]
    assert sorted(heard, key=lambda one: (one[0], one[2])) == expected


NAMES = ("always", "once", "changed", "bob", "never")  # of the hooks of that chapter, those that hear nothing too


def test_it_makes_uses_and_deletes_an_oauth_client(story: Story) -> None:
    facts = story["clients"]
    assert (facts["before"], facts["created"], facts["usable"]) == (False, True, "alice")
    assert facts["found"] is True
    assert (facts["apis"], facts["after"]) == (True, False)


def test_its_functions_for_people_work_from_client_to_delete(story: Story) -> None:
    facts = story["people"]
    assert (facts["signed in"], facts["refreshed"], facts["same bytes"]) == (True, True, True)
    assert "prompt.txt" in facts["printed"]
    assert "STAGING_COMPLETED" in facts["printed"]
    assert "bob           yes" in facts["printed"]


def test_it_keeps_actors_workers_permissions_and_nonces(story: Story) -> None:
    facts = dict(story["actors"])
    assert facts.pop("opened") == facts.pop("actor")
    assert facts == {
        "submitted": "SUBMITTED", "no image": 400, "listed": True, "renamed": "renamed",
        "read back": ["renamed", "abacosamples/py3_func:dev", "alice", "READY"],
        "workers": 2, "worker": "READY", "to ours": True, "one less": True, "worker left": True,
        "stranger": 400, "granted": {"alice": "UPDATE", "bob": "EXECUTE"},
        "permissions": {"alice": "UPDATE", "bob": "EXECUTE"}, "bob": [0, 400],
        "nonces": True, "nonce": ["READ", 3, 2], "to send": 400, "no nonces": [0, 400], "gone": [0, 404],
    }  # fmt: skip


def test_a_message_is_answered_by_a_program_that_asks_for_its_context(story: Story) -> None:
    facts = dict(story["messages"])
    context = facts.pop("context")
    assert facts == {
        "msg": "{'n': 7}", "status": "COMPLETE", "exit": 0, "waiting": 0, "executions": True, "total": 1,
    }  # fmt: skip
    assert context["message_dict"] == {"n": 7}
    expected = {"raw_message": "{'n': 7}", "username": "alice", "state": "{}", "SHADE": "dark"}
    assert {name: context[name] for name in expected} == expected
    assert context["actor_id"] == context["actor_dbid"] != ""


def test_a_program_changes_its_state_with_the_token_that_it_is_given(story: Story) -> None:
    assert story["state"] == {
        "before": {"count": 1}, "exit": 0, "log": "counted to 2\n", "after": {"count": 2},
        "theirs cannot keep a list": 400, "ours can": ["a", "b"],
    }  # fmt: skip


def test_results_come_in_their_order_and_once(story: Story) -> None:
    """And AgavePy sends a variable too many, which the program gets; ours does not."""
    assert story["results"] == {
        "exit": 0, "parts": ["one", True, "three"], "no more": 0,
        "stray with theirs": ["HUE", "environment"], "with ours": [["HUE"], "four"],
        "text with theirs": ["HUE", "environment"], "text with ours": ["HUE"],
    }  # fmt: skip


@pytest.mark.skipif(bubblewrap() is None, reason="AgavePy has the paths of a container built in; see docs/tenant.md")
def test_functions_are_sent_run_and_their_results_fetched(story: Story) -> None:
    assert story["executor"] == {
        "first": [[7, "ü", [3, 3, 3]]], "squares": [[1], [4], [9]], "large": [900_000], "no pickle": 1, "empty": 0,
    }  # fmt: skip
