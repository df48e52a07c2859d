"""Every event that the platform's documents name: what brings it about here, or why nothing does.

The tables below are whole: a test compares them with what is documented. Each cause is carried out over HTTP, and each
of its events must reach a subscription to that event alone, and stand in the history of the thing if it has one.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import Tenant
from tests.tenant import event_causes as causes
from tests.tenant.event_causes import Cause, Scene, Watch
from tests.tenant.hook import hooked

DOCUMENTED = {
    "files": "CREATED DELETED RENAME MOVED OVERWRITTEN STAGING_QUEUED STAGING STAGING_FAILED STAGING_COMPLETED UPLOAD"
    " DOWNLOAD CONTENT_CHANGE PERMISSION_GRANT PERMISSION_REVOKE INDEX_START INDEX_COMPLETE INDEX_FAILED UNKNOWN"
    " PREPROCESSING TRANSFORMING_QUEUED TRANSFORMING TRANSFORMING_FAILED TRANSFORMING_COMPLETED",
    "transfers": "QUEUED TRANSFERRING PAUSED RETRYING COMPLETED FAILED CANCELLED",
    "jobs": "PENDING PROCESSING_INPUTS STAGING_INPUTS STAGED STAGING_JOB SUBMITTING QUEUED RUNNING CLEANING_UP"
    " ARCHIVING ARCHIVING_FINISHED ARCHIVING_FAILED FINISHED KILLED STOPPED FAILED PAUSED PERMISSION_GRANT"
    " PERMISSION_REVOKE EMPTY_STATUS_RESPONSE REMOTE_STATUS_CHANGE UNKNOWN_TERMINATION DELETED RESTORED HEARTBEAT",
    "apps": "CREATED UPDATED CLONED DELETED RESTORED DISABLED PUBLISHED REPUBLISHED UNPUBLISHED PERMISSION_GRANT"
    " PERMISSION_REVOKE PUBLISHING_FAILED CLONING_FAILED",
    "systems": "CREATED UPDATED DELETED ENABLED DISABLED ERASED PUBLISH UNPUBLISH SET_PUBLIC_DEFAULT"
    " UNSET_PUBLIC_DEFAULT SET_USER_DEFAULT UNSET_USER_DEFAULT ROLES_GRANT ROLES_REVOKE CLEAR_CREDENTIALS"
    " UPDATE_DEFAULT_CREDENTIAL UPDATE_CREDENTIAL REMOVE_CREDENTIAL REMOVE_DEFAULT_CREDENTIAL CREDENTIAL_CREATION"
    " CREDENTIAL_REFRESH CREDENTIAL_EXPIRATION AUTH_CONFIG_CREATE AUTH_CONFIG_UPDATE AUTH_CONFIG_DELETE QUEUE_CREATE"
    " QUEUE_UPDATE QUEUE_DELETE APP_CREATE APP_UPDATE APP_DELETE JOB_SUBMIT JOB_STAGE JOB_QUEUE JOB_COMPLETE"
    " STATUS_UPDATE",
    "metadata": "CREATED UPDATED DELETED RESTORED PERMISSION_GRANT PERMISSION_REVOKE PERMISSION_UPDATE"
    " METADATA_CREATED METADATA_UPDATED METADATA_DELETED",
    "schemas": "CREATED UPDATED DELETED RESTORED PERMISSION_GRANT PERMISSION_REVOKE PERMISSION_UPDATE",
    "notifications": "CREATED UPDATED DELETED DISABLED ENABLED FAILURE SUCCESS SEND_ERROR RETRY_ERROR FORCED_ATTEMPT"
    " PERMISSION_GRANT PERMISSION_REVOKE",
    # the documents know these kinds of event and name none of them: here they have the names that the others have
    "profiles": "CREATED UPDATED DELETED",
    "internal users": "CREATED UPDATED DELETED",
}

CAUSED: dict[str, list[tuple[Cause, str]]] = {
    "files": [
        (causes.a_file_is_uploaded, "CREATED STAGING_QUEUED UPLOAD STAGING_COMPLETED"),
        (causes.an_upload_waits, "STAGING"),
        (causes.an_import_fails, "STAGING_FAILED"),
        (causes.a_file_is_uploaded_again, "OVERWRITTEN"),
        (causes.a_file_is_read, "DOWNLOAD"),
        (causes.a_file_is_renamed, "RENAME"),
        (causes.a_file_is_moved, "MOVED"),
        (causes.a_folder_gets_a_file, "CONTENT_CHANGE"),
        (causes.a_file_is_shared, "PERMISSION_GRANT PERMISSION_REVOKE"),
        (causes.a_file_is_deleted, "DELETED"),
    ],
    "jobs": [
        (causes.a_job_runs, "PENDING PROCESSING_INPUTS STAGING_INPUTS STAGED STAGING_JOB SUBMITTING QUEUED RUNNING"
         " HEARTBEAT CLEANING_UP ARCHIVING ARCHIVING_FINISHED FINISHED"),
        (causes.an_archive_is_in_the_way, "ARCHIVING_FAILED FAILED"),
        (causes.a_job_is_stopped, "STOPPED"),
        (causes.a_job_loses_its_runner, "UNKNOWN_TERMINATION FAILED"),
        (causes.a_job_is_ended_from_outside, "REMOTE_STATUS_CHANGE FAILED"),
        (causes.a_job_is_shared_and_hidden, "PERMISSION_GRANT PERMISSION_REVOKE DELETED RESTORED"),
    ],
    "apps": [
        (causes.an_app_is_registered, "CREATED"),
        (causes.an_app_is_changed, "UPDATED"),
        (causes.an_app_is_disabled_and_enabled, "DISABLED RESTORED"),
        (causes.an_app_is_shared, "PERMISSION_GRANT PERMISSION_REVOKE"),
        (causes.an_app_is_cloned_and_published, "CLONED PUBLISHED"),
        (causes.an_app_is_published_anew, "REPUBLISHED"),
        (causes.a_public_app_is_removed, "UNPUBLISHED DELETED"),
        (causes.an_app_is_removed, "DELETED"),
        (causes.an_app_cannot_be_copied, "PUBLISHING_FAILED CLONING_FAILED"),
    ],
    "systems": [
        (causes.a_system_is_registered, "CREATED AUTH_CONFIG_CREATE"),
        (causes.a_system_is_changed, "UPDATED STATUS_UPDATE AUTH_CONFIG_UPDATE"),
        (causes.a_system_is_shared, "ROLES_GRANT ROLES_REVOKE"),
        (causes.a_system_is_ones_default, "SET_USER_DEFAULT UNSET_USER_DEFAULT DISABLED ENABLED"),
        (causes.a_system_is_public, "PUBLISH SET_PUBLIC_DEFAULT UNSET_PUBLIC_DEFAULT UNPUBLISH"),
        (causes.a_system_is_deleted, "DELETED"),
        (causes.a_system_is_erased, "ERASED"),
        (causes.credentials_come_and_go, "UPDATE_DEFAULT_CREDENTIAL UPDATE_CREDENTIAL REMOVE_CREDENTIAL"
         " REMOVE_DEFAULT_CREDENTIAL CLEAR_CREDENTIALS AUTH_CONFIG_CREATE AUTH_CONFIG_UPDATE AUTH_CONFIG_DELETE"),
        (causes.an_internal_user_goes_with_a_credential, "REMOVE_CREDENTIAL AUTH_CONFIG_DELETE"),
        (causes.a_queue_comes_changes_and_goes, "QUEUE_CREATE QUEUE_UPDATE QUEUE_DELETE"),
        (causes.an_app_lives_on_a_system, "APP_CREATE APP_UPDATE APP_DELETE"),
        (causes.a_job_runs_on_a_system, "JOB_SUBMIT JOB_STAGE JOB_QUEUE JOB_COMPLETE"),
    ],
    "metadata": [
        (causes.a_document_is_made, "CREATED"),
        (causes.a_document_is_changed_shared_and_deleted, "UPDATED PERMISSION_GRANT PERMISSION_UPDATE"
         " PERMISSION_REVOKE DELETED"),
        (causes.a_document_is_about_a_file, "METADATA_CREATED METADATA_UPDATED METADATA_DELETED"),
    ],
    "schemas": [
        (causes.a_schema_is_made, "CREATED"),
        (causes.a_schema_is_changed_shared_and_deleted, "UPDATED PERMISSION_GRANT PERMISSION_UPDATE"
         " PERMISSION_REVOKE DELETED"),
    ],
    "notifications": [
        (causes.a_subscription_is_changed, "UPDATED DISABLED ENABLED"),
        (causes.a_subscription_is_tried, "FORCED_ATTEMPT SUCCESS"),
        (causes.a_hook_is_not_there, "SEND_ERROR RETRY_ERROR FAILURE"),
        (causes.a_subscription_ends, "DELETED"),
    ],
    "profiles": [(causes.a_user_comes_changes_and_goes, "CREATED UPDATED DELETED")],
    "internal users": [(causes.an_internal_user_comes_changes_and_goes, "CREATED UPDATED DELETED")],
}  # fmt: skip

UNCAUSED = {
    "files": {
        "there is no index": "INDEX_START INDEX_COMPLETE INDEX_FAILED",
        "nothing is transformed": "PREPROCESSING TRANSFORMING_QUEUED TRANSFORMING TRANSFORMING_FAILED"
        " TRANSFORMING_COMPLETED",
        "all that happens has a name": "UNKNOWN",
    },
    "transfers": {"a transfer has no record": DOCUMENTED["transfers"]},
    "jobs": {
        "nobody can pause a job": "PAUSED",
        "who ends a job stops it": "KILLED",
        "no scheduler is asked": "EMPTY_STATUS_RESPONSE",
    },
    "systems": {
        "credentials are kept as they were given": "CREDENTIAL_CREATION CREDENTIAL_REFRESH CREDENTIAL_EXPIRATION"
    },
    "metadata": {"what was deleted is gone": "RESTORED"},
    "schemas": {"what was deleted is gone": "RESTORED"},
    "notifications": {
        "nobody can listen to what is not there yet": "CREATED",
        "a subscription is its owner's alone": "PERMISSION_GRANT PERMISSION_REVOKE",
    },
}


@pytest.fixture
async def scene(tenant: Tenant) -> AsyncIterator[Scene]:
    async with hooked() as hook, tenant.http("alice") as alice, tenant.http("admin") as admin:
        yield Scene(tenant, hook, alice, admin)


@pytest.mark.parametrize("service", DOCUMENTED)
def test_of_every_documented_event_it_is_said_what_brings_it_about_or_why_nothing_does(service: str) -> None:
    caused = {event for _, events in CAUSED.get(service, []) for event in events.split()}
    uncaused = {event for events in UNCAUSED.get(service, {}).values() for event in events.split()}
    assert caused | uncaused == set(DOCUMENTED[service].split())
    assert not caused & uncaused


def test_what_nothing_brings_about_is_told_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tenant.md").read_text()
    section = page.partition("\n### Events")[2].partition("\n### ")[0]
    told = set(re.findall(r"[A-Z][A-Z_]+", section))
    assert {event for service in UNCAUSED.values() for events in service.values() for event in events.split()} <= told


@pytest.mark.parametrize("service", CAUSED)
async def test_each_event_reaches_who_listens_to_it_alone(service: str, scene: Scene) -> None:
    for cause, events in CAUSED[service]:
        watch = Watch(scene, tuple(events.split()))
        await cause(scene, watch)
        for event in watch.events:
            await _heard(watch, event, cause.__name__)
        if watch.history:
            history = {entry["status"] for entry in await scene.do(f"GET {watch.history}?limit=250")}
            assert set(watch.events) <= history, cause.__name__


async def _heard(watch: Watch, event: str, cause: str) -> None:
    """Wait until a subscription was told of its event, about the right thing, and see that it was of no other."""
    mine = {"w": str(watch.number), "to": event}
    try:
        await watch.scene.hook.heard(1, lambda told: told.query == {**mine, "e": event, "u": watch.about})
    except Exception as trouble:
        trouble.add_note(f"{event}, when {cause.replace('_', ' ')}")
        raise
    told = [each.query["e"] for each in watch.scene.hook.told if mine.items() <= each.query.items()]
    assert set(told) == {event}


async def test_what_happens_to_apps_and_jobs_on_a_system_is_told_with_both_and_kept_from_others(
    tenant: Tenant, scene: Scene
) -> None:
    """Bob may see the system, but not what alice does there; neither he nor anybody reads of it in its history."""
    system = await scene.do("GET /systems/v2/run.demo")
    url = f"{scene.hook.url}/?who=%s&e=${{EVENT}}&job=${{JOB_ID}}&app=${{APP_NAME}}&s=${{SYSTEM_ID}}"
    async with tenant.http("bob") as bob:
        for http, who in ((bob, "bob"), (scene.alice, "alice")):
            body = {"associatedUuid": system["uuid"], "event": "*", "url": url % who, "persistent": True}
            assert (await http.post("/notifications/v2/", json=body)).status_code == 201
        app = await scene.shop.app("true")
        job = await scene.shop.ran(app, inputs={})
        told = await scene.hook.heard(4)
        assert [(each.query["e"], each.query["s"]) for each in told] == [
            ("APP_CREATE", "run.demo"), ("JOB_SUBMIT", "run.demo"), ("JOB_QUEUE", "run.demo"),
            ("JOB_COMPLETE", "run.demo"),
        ]  # fmt: skip
        assert (told[0].query["app"], told[0].json["app"]["id"]) == ("test", app)
        assert {(each.query["job"], each.json["job"]["id"]) for each in told[1:]} == {(job["id"], job["id"])}
        assert (told[-1].json["job"]["status"], told[-1].json["system"]["id"]) == ("FINISHED", "run.demo")
        await scene.do(f"POST /jobs/v2/{job['id']}", {"action": "resubmit"})  # alice's second job: bob hears no more
        told = await scene.hook.heard(7)
        assert {each.query["who"] for each in told} == {"alice"}
        history = (await bob.get("/systems/v2/run.demo/history")).json()["result"]
        assert [event["status"] for event in history if re.match("APP_|JOB_", event["status"])] == []


async def test_a_try_is_delivered_as_the_event_itself_would_be(scene: Scene) -> None:
    uuid = await scene.upload("/alice/file")
    hook = await scene.subscription(uuid, "DOWN*", url=f"{scene.hook.url}/?e=${{EVENT}}", persistent=False)
    path = f"/notifications/v2/{hook}/attempts"
    for body in ({}, {"event": "*"}, {"event": "UPLOAD"}, {"event": "DOWNLOAD", "associatedUuid": "1-2-0001-002"}):
        assert (await scene.alice.post(path, json=body)).status_code == 400
    tried = await scene.do(f"POST {path}", {"event": "DOWNLOAD"})
    [told] = await scene.hook.heard(1)
    assert (told.query["e"], told.json["path"], told.headers["x-agave-delivery"]) == (
        "DOWNLOAD", "/alice/file", tried["id"],
    )  # fmt: skip
    assert (tried["url"], tried["associatedUuid"]) == (f"{scene.hook.url}/?e=DOWNLOAD", uuid)
    assert (await scene.alice.post(path, json={"event": "DOWNLOAD"})).status_code == 412, "it was for one event"
