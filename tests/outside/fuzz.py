"""Requests of every kind for every route, made by schemathesis from a tenant's own OpenAPI document.

What is there (systems, files, apps, a job, an actor, documents) is made first, and its names are mixed into what is
drawn, so that what lies behind the first check is reached too. Each answer is held against the document: its status,
its content type, its shape.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup

from .processes import Platform, wait_until

load_all_checks()
CONFORMS = CHECKS.get_by_names(["status_code_conformance", "content_type_conformance", "response_schema_conformance"])
PATIENCE = 60.0  # seconds for one answer

ODD = ["nothing", "ü b", "..", "a/../../b", "%2e%2e", "x" * 300, "a?b#c", "*", "' or 1=1 --"]  # names for any place
SYSTEM = {
    "id": "fuzz.store", "name": "For the fuzz", "type": "STORAGE",
    "storage": {
        "host": "localhost", "port": 22, "protocol": "LOCAL", "rootDir": "/", "homeDir": "/", "auth": {"type": "LOCAL"}
    },
}  # fmt: skip
MEANT: dict[str, list[Any]] = {
    "systemId": ["data.demo", "run.demo", "fuzz.store"], "target": ["data.demo", "run.demo"],
    "executionSystem": ["run.demo"], "archiveSystem": ["data.demo"], "deploymentSystem": ["data.demo"],
    "filePath": ["/alice", "/alice/fuzz", "/alice/fuzz/a.txt", "/alice/fuzz/a.txt/b", "fuzz", "/", "/bob", "."],
    "path": ["/alice/fuzz/copy.txt", "copy.txt", "fuzz", "/bob/x", "../x"], "fileName": ["up.txt", "../x", "."],
    "appId": ["wordcount-1.0", "ticker-1.0"], "name": ["wordcount", "fuzz"], "username": ["alice", "bob", "nobody"],
    "role": ["USER", "ADMIN", "NONE"], "permission": ["READ", "ALL", "NONE"], "user": ["bob"],
    "level": ["READ", "UPDATE"], "type": ["STORAGE", "EXECUTION"], "image": ["echo", "wordcount"],
    "event": ["*", "CREATED"], "attribute": ["name", "status", "id", "nodecount", "created"],
    "q": ["{}", '{"name": "fuzz"}', '{"value.n": {"$gt": 1}}', '{"$or": [{"name": {"$regex": "f"}}]}', "{"],
    "limit": [0, 1, 1000, -1], "offset": [0, 1, 10**9], "clientName": ["fuzz"], "url": ["https://example.org/hook"],
    "urlToIngest": ["agave://data.demo//alice/fuzz/a.txt"], "credentialType": ["STORAGE", "LOGIN", "EXECUTION"],
    "internalUsername": ["inside"], "tag": ["text"], "num": [1, 2],
}  # fmt: skip
ACTIONS = {
    "FileOperationRequest": ["mkdir", "rename", "copy", "move"], "JobOperationRequest": ["stop", "resubmit", "hide"],
    "AppOperationRequest": ["publish", "clone", "enable", "disable"],
    "SystemOperationRequest": ["publish", "setDefault", "unsetDefault", "clone", "enable", "disable"],
}  # fmt: skip


class Finding(NamedTuple):
    """An answer that the document does not tell of, and the request that had it."""

    operation: str
    status: int
    what: str
    request: str


class Fuzz:
    """Draws requests for every operation of a served tenant, and sends them as its first user."""

    def __init__(self, tenant: dict[str, Any]) -> None:
        self.url, self._user = tenant["url"], tenant["users"][0]
        self._platform = Platform(tenant)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = tenant["ca_cert"] or True
        self.statuses: Counter[int] = Counter()
        self.findings: list[Finding] = []
        self.document = self._session.get(f"{self.url}/openapi.json", timeout=PATIENCE).json()
        self._meant = self._made()

    def operations(self) -> Iterator[APIOperation]:
        """Every operation of the document."""
        schema = schemathesis.openapi.from_dict(self._mixed())
        for found in schema.get_all_operations():
            yield found.ok()

    def run(self, operation: APIOperation, *, examples: int, fixed: bool) -> None:
        """Send so many requests as the document allows them, and as many that it does not. With `fixed` they are the
        same ones each time."""
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            quiet = settings(
                max_examples=examples, deadline=None, derandomize=fixed, database=None, phases=[Phase.generate],
                suppress_health_check=[*HealthCheck],
            )  # fmt: skip

            def send(case: Case) -> None:
                self._send(operation, case)

            try:
                quiet(given(case=operation.as_strategy(generation_mode=mode))(send))()
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE, operation.label  # there is nothing that it does not allow

    def _send(self, operation: APIOperation, case: Case) -> None:
        named = operation.definition.raw["operationId"]
        signed: dict[str, Any] = {"headers": {"Authorization": self._platform.authorization}}
        if "password" in operation.definition.raw["security"][0]:
            signed = {"auth": (self._user["username"], self._user["password"])}
        answer = case.call(base_url=self.url, session=self._session, timeout=PATIENCE, **signed)
        self.statuses[answer.status_code] += 1
        try:
            case.validate_response(answer, checks=CONFORMS)
        except FailureGroup as failures:
            what = "; ".join(f"{failure.title}: {failure.message}" for failure in failures.exceptions)  # type: ignore[attr-defined]
            self.findings.append(Finding(named, answer.status_code, what, case.as_curl_command()))

    # what there is to be found

    def _made(self) -> dict[str, list[Any]]:
        """Things of every kind; their names by operation parameter, `service.parameter` where services differ."""
        call = self._platform.call
        call("POST", "/systems/v2/", SYSTEM)
        call("PUT", "/files/v2/media/system/data.demo//alice", {"action": "mkdir", "path": "fuzz/inner"})
        self._session.post(
            f"{self.url}/files/v2/media/system/data.demo//alice/fuzz", files={"fileToUpload": ("a.txt", b"some words")},
            headers={"Authorization": self._platform.authorization}, timeout=PATIENCE,
        ).raise_for_status()  # fmt: skip
        inputs = {"text": "agave://data.demo//alice/fuzz/a.txt"}
        listing = "/files/v2/listings/system/data.demo//alice/fuzz"
        wait_until(lambda: "a.txt" in [file["name"] for file in call("GET", listing)], timeout=60)
        job = call("POST", "/jobs/v2/", {"name": "fuzz", "appId": "wordcount-1.0", "inputs": inputs})
        wait_until(lambda: call("GET", f"/jobs/v2/{job['id']}")["status"] == "FINISHED", timeout=60)
        actor = call("POST", "/actors/v2", {"image": "echo", "name": "fuzz"})
        wait_until(lambda: call("GET", f"/actors/v2/{actor['id']}")["status"] == "READY", timeout=60)
        execution = call("POST", f"/actors/v2/{actor['id']}/messages", {"message": "hello"})
        nonce = call("POST", f"/actors/v2/{actor['id']}/nonces", {"level": "READ"})
        data = call("POST", "/meta/v2/data", {"name": "fuzz", "value": {"n": 2}})
        schema = call("POST", "/meta/v2/schemas", {"type": "object", "properties": {"n": {"type": "integer"}}})
        told = call("POST", "/notifications/v2/", {"associatedUuid": job["id"], "event": "*", "url": f"{self.url}/x"})
        monitor = call("POST", "/monitors/v2/", {"target": "data.demo"})
        check = call("POST", f"/monitors/v2/{monitor['id']}/checks")
        postit = call("POST", "/postits/v2/", {"url": f"{self.url}/profiles/v2/me"})
        return MEANT | {
            "sourcefilePath": MEANT["filePath"], "uniqueName": MEANT["appId"], "jobId": [job["id"]],
            "jobs.filePath": ["", "/", "wordcount.txt", "nothing"], "actorId": [actor["id"]], "nonceId": [nonce["id"]],
            "executionId": [execution["executionId"]], "meta.uuid": [data["uuid"], schema["uuid"]],
            "notifications.uuid": [told["id"]], "postits.uuid": [postit["postit"]], "monitorId": [monitor["id"]],
            "checkId": [check["id"]], "associatedUuid": [job["id"], data["uuid"]], "value": ["fuzz", "FINISHED", 1],
        }  # fmt: skip

    def _mixed(self) -> dict[str, Any]:
        """The document with names that mean something: in paths with odd ones, elsewhere beside all that is allowed."""
        mixed = copy.deepcopy(self.document)
        for path in mixed["paths"].values():
            for operation in path.values():
                service = operation["tags"][0]
                for parameter in operation.get("parameters", ()):
                    if (names := self._names(service, parameter["name"])) is not None:
                        odd = parameter["in"] == "path"
                        alone = {"enum": [*dict.fromkeys([*names, *ODD])] if odd else names}
                        parameter["schema"] = alone if odd else {"anyOf": [alone, parameter["schema"]]}
        for name, schema in mixed["components"]["schemas"].items():
            for field, allowed in schema.get("properties", {}).items():
                names = ACTIONS.get(name) if field == "action" else MEANT.get(field)
                if name.endswith("Request") and names is not None:
                    schema["properties"][field] = {"anyOf": [{"enum": names}, allowed]}
        return mixed

    def _names(self, service: str, parameter: str) -> list[Any] | None:
        found = self._meant.get(f"{service}.{parameter}", self._meant.get(parameter))
        return None if found is None else [*found]
