"""Requests of every kind for every route, made by schemathesis from a tenant's own OpenAPI document.

What is there (systems, files, apps, a job, an actor, documents) is made first, and its names are mixed into what is
drawn, so that what lies behind the first check is reached too. Each answer is held against the document: its status,
its content type, its shape.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple
from urllib.parse import quote

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup

from .processes import Platform, wait_until

load_all_checks()
CONFORMS = CHECKS.get_by_names(["status_code_conformance", "content_type_conformance", "response_schema_conformance"])
PATIENCE = 60.0  # seconds for one answer
BINARY = "application/octet-stream"

ODD = ["nothing", "ü b", "a/../../b", "%2e%2e", "x" * 300, "a?b#c", "*", "' or 1=1 --"]  # names for any place
SYSTEM = {
    "id": "fuzz.store", "name": "For the fuzz", "type": "STORAGE",
    "storage": {
        "host": "localhost", "port": 22, "protocol": "LOCAL", "rootDir": "/", "homeDir": "/", "auth": {"type": "LOCAL"}
    },
}  # fmt: skip
MEANT: dict[str, list[Any]] = {
    "systemId": ["data.demo", "run.demo", "fuzz.store"], "uniqueName": ["wordcount-1.0"],
    "filePath": ["/alice", "/alice/fuzz", "/alice/fuzz/a.txt", "/alice/fuzz/a.txt/b", "fuzz", "/", "/bob"],
    "appId": ["wordcount-1.0", "fuzz-0.1"], "name": ["wordcount", "fuzz"], "username": ["alice", "bob", "nobody"],
    "attribute": ["name", "status", "id", "nodecount", "created"], "value": ["fuzz", "FINISHED", "1", "2020-01-01"],
    "q": ["{}", '{"name": "fuzz"}', '{"value.n": {"$gt": 1}}', '{"$or": [{"name": {"$regex": "f"}}]}', "{", "[]"],
    "limit": [0, 1, 1000, -1, 10**20], "offset": [0, 1, -1, 10**20], "clientName": ["fuzz"], "tag": ["text"],
    "credentialType": ["STORAGE", "LOGIN", "EXECUTION"], "internalUsername": ["inside"], "target": ["data.demo"],
    "alias": ["fuzz"], "profiles.username": ["bob", "nobody"],  # a new password would end the token of all requests
}  # fmt: skip
JOB = {"name": "fuzz", "appId": "wordcount-1.0", "inputs": {"text": "agave://data.demo//alice/fuzz/a.txt"}}
GRANT = {"username": "bob", "permission": "READ"}
APP = {
    "name": "fuzz", "version": "0.1", "executionType": "CLI", "parallelism": "SERIAL", "executionSystem": "run.demo",
    "deploymentSystem": "data.demo", "deploymentPath": "/alice/fuzz", "templatePath": "a.txt", "testPath": "a.txt",
    "inputs": [], "parameters": [],
}  # fmt: skip
BODIES: dict[str, list[dict[str, Any]]] = {
    "files.manage": [{"action": action, "path": "/alice/fuzz/b"} for action in ("mkdir", "rename", "copy", "move")],
    "files.importData": [{"fileToUpload": b"some", "fileName": "up.txt"}, {"fileToUpload": b"", "fileName": "../x"}],
    "jobs.submit": [JOB, JOB | {"archive": False, "maxRunTime": "00:00:01"}, JOB | {"notifications": [{"url": "x"}]}],
    "jobs.manage": [{"action": action} for action in ("stop", "resubmit", "hide", "restore")],
    "apps.add": [APP], "apps.update": [APP],
    "apps.manage": [{"action": action, "name": "f", "version": "1"} for action in ("publish", "clone", "disable")],
    "systems.add": [SYSTEM], "systems.update": [SYSTEM],
    "systems.manage": [{"action": action, "id": "fuzz.two"} for action in ("clone", "setDefault", "disable", "enable")],
    "systems.updateRole": [{"username": "bob", "role": role} for role in ("USER", "OWNER", "NONE")],
    "systems.updateCredentials": [{"type": "PASSWORD", "username": "a", "password": "b"}],
    "actors.add": [{"image": "echo", "name": "other", "defaultEnvironment": {"A": 1}, "stateless": False}],
    "actors.sendMessage": [{"message": "hello"}, {"message": {"a": 1}}], "actors.addWorker": [{"num": 2}],
    "actors.addAlias": [{"alias": "fuzz"}], "actors.addNonce": [{"level": "READ", "maxUses": 2}],
    "actors.updatePermissions": [{"user": "bob", "level": level} for level in ("READ", "UPDATE", "NONE")],
    "meta.addMetadata": [{"name": "fuzz", "value": {"n": 3}}, {"name": "fuzz", "value": [1], "associationIds": []}],
    "meta.addSchema": [{"type": "object", "properties": {"n": {"type": "integer"}}}, {"type": 7}],
    "notifications.add": [{"associatedUuid": "*", "event": "*", "url": "https://example.org/{$UUID}"}],
    "monitors.add": [{"target": "data.demo", "frequency": 5, "active": False}],
    "clients.create": [{"clientName": "fuzz2", "tier": "GOLD"}],
    "clients.addSubscriptionForClient": [{"apiName": "*"}, {"apiName": "files", "tier": "GOLD"}],
}  # fmt: skip
STRANGE: list[Any] = [None, "", 7, -1, 1e300, True, [], {}, [[1]], {"a": {"b": None}}, "x" * 5000, "ü\n\x7f", "../.."]
BYTES = st.sampled_from([b"", b"\0", b'{"message": 1', b"\xff" * 100_000]) | st.binary(max_size=64)


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
        self.binary = 0  # requests whose body was bytes
        self.findings: list[Finding] = []
        self.document = self._session.get(f"{self.url}/openapi.json", timeout=PATIENCE).json()
        self._meant = self._made()

    def operations(self) -> list[APIOperation]:
        """Every operation of the document; what takes files and other things away comes last."""
        schema = schemathesis.openapi.from_dict(self.document)
        return sorted(
            (found.ok() for found in schema.get_all_operations()),
            key=lambda one: (one.method == "delete", one.definition.raw["tags"] == ["files"]),
        )

    def run(self, operation: APIOperation, *, examples: int, fixed: bool) -> None:
        """Send so many requests as the document allows them, and half as many that it does not; where bytes are taken
        beside something else, as many of these too. With `fixed` they are the same ones each time."""
        self._draw(operation, GenerationMode.POSITIVE, examples, fixed=fixed)
        self._draw(operation, GenerationMode.NEGATIVE, max(examples // 2, 1), fixed=fixed)
        if BINARY in operation.definition.raw.get("requestBody", {}).get("content", {}):
            self._draw(operation, GenerationMode.POSITIVE, examples, fixed=fixed, binary=True)

    def _draw(
        self, operation: APIOperation, mode: GenerationMode, number: int, *, fixed: bool, binary: bool = False
    ) -> None:
        quiet = settings(
            max_examples=number, deadline=None, derandomize=fixed, database=None, phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
        )  # fmt: skip

        def send(case: Case, data: st.DataObject) -> None:
            if binary:
                case.media_type, case.body = BINARY, data.draw(BYTES)
            self._send(operation, self._meaning(operation, case, data))

        drawn = given(case=operation.as_strategy(generation_mode=mode), data=st.data())
        try:
            quiet(drawn(send))()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, operation.label  # there is nothing that it does not allow

    def still_signed_in(self) -> bool:
        """Whether the requests had a token that was good, to the last."""
        self._session.auth = self._signed
        return self._session.get(f"{self.url}/profiles/v2/me", timeout=PATIENCE).status_code == 200

    def _signed(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._platform.authorization
        return request

    def _meaning(self, operation: APIOperation, case: Case, data: st.DataObject) -> Case:
        """A request with names that mean something, or odd ones, in place of most that were drawn."""
        key = operation.definition.raw["operationId"]
        for name in [*(case.path_parameters or {})]:
            if (choice := data.draw(st.integers(0, 5))) < 4 and (names := self._names(key, name)):
                case.path_parameters[name] = quote(data.draw(st.sampled_from(names)), safe="/")
            elif choice == 4:
                case.path_parameters[name] = quote(data.draw(st.sampled_from(ODD)), safe="")
        for name in [*case.query] if isinstance(case.query, dict) else []:
            if data.draw(st.booleans()) and (names := self._names(key, name)):
                case.query[name] = data.draw(st.sampled_from(names))
        if case.media_type != BINARY and (bodies := self._bodies(key)) and (choice := data.draw(st.integers(0, 3))):
            case.body = dict(data.draw(st.sampled_from(bodies)))
            if choice == 3:
                case.body[data.draw(st.sampled_from([*case.body]))] = data.draw(st.sampled_from(STRANGE))
        return case

    def _names(self, key: str, parameter: str) -> list[Any] | None:
        return self._meant.get(f"{key.partition('.')[0]}.{parameter}", self._meant.get(parameter))

    def _bodies(self, key: str) -> list[dict[str, Any]]:
        """Bodies that make sense; of operations with `ForUser` and the like in their names those of the plain one."""
        if "ermission" in key and not key.startswith("actors."):
            return [GRANT, GRANT | {"permission": "NONE"}, GRANT | {"recursive": True}]
        if key == "postits.create":
            return [{"url": f"{self.url}/profiles/v2/me", "maxUses": 2, "lifetime": 60}]
        return next((bodies for known, bodies in BODIES.items() if key.startswith(known)), [])

    def _send(self, operation: APIOperation, case: Case) -> None:
        named = operation.definition.raw["operationId"]
        # by the session: of requests that must not be allowed, schemathesis would leave away most tokens
        self._session.auth = self._signed
        if "password" in operation.definition.raw["security"][0]:
            self._session.auth = (self._user["username"], self._user["password"])
        answer = case.call(base_url=self.url, session=self._session, timeout=PATIENCE)
        self.statuses[answer.status_code] += 1
        self.binary += case.media_type == BINARY
        try:
            case.validate_response(answer, checks=CONFORMS)
        except FailureGroup as failures:
            what = "; ".join(f"{failure.title}: {failure.message}" for failure in failures.exceptions)  # type: ignore[attr-defined]  # it has no types
            self.findings.append(Finding(named, answer.status_code, what, case.as_curl_command()))

    # what there is to be found

    def _made(self) -> dict[str, list[Any]]:
        """Things of every kind; their names by operation parameter, `service.parameter` where services differ."""
        call = self._platform.call
        call("POST", "/systems/v2/", SYSTEM)
        call("PUT", "/files/v2/media/system/data.demo//alice", {"action": "mkdir", "path": "fuzz/inner"})
        self._session.post(
            f"{self.url}/files/v2/media/system/data.demo//alice/fuzz", files={"fileToUpload": ("a.txt", b"some words")},
            auth=self._signed, timeout=PATIENCE,
        ).raise_for_status()  # fmt: skip
        listing = "/files/v2/listings/system/data.demo//alice/fuzz"
        wait_until(lambda: "a.txt" in [file["name"] for file in call("GET", listing)], timeout=60)
        job = call("POST", "/jobs/v2/", JOB)
        wait_until(lambda: call("GET", f"/jobs/v2/{job['id']}")["status"] == "FINISHED", timeout=60)
        call("POST", "/apps/v2/", APP)
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
        requests.post(
            f"{self.url}/clients/v2/", json={"clientName": "fuzz"}, timeout=PATIENCE, verify=self._session.verify,
            auth=(self._user["username"], self._user["password"]),
        ).raise_for_status()  # fmt: skip
        return MEANT | {
            "sourcefilePath": MEANT["filePath"], "jobId": [job["id"]], "actorId": [actor["id"]],
            "jobs.filePath": ["", "/", "wordcount.txt", "nothing"], "nonceId": [nonce["id"]],
            "executionId": [execution["executionId"]], "meta.uuid": [data["uuid"], schema["uuid"]],
            "notifications.uuid": [told["id"]], "postits.uuid": [postit["postit"]], "monitorId": [monitor["id"]],
            "checkId": [check["id"]], "associatedUuid": [job["id"], data["uuid"]],
        }  # fmt: skip
