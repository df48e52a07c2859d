"""Every request that we send is the one that AgavePy 0.9.5 sends, or AgavePy's is known to be wrong, and how.

Both clients make the same calls, each to a server that keeps what it hears. A call that is not in `FAULTS` must be
equal in method, decoded path, query, content type, body and authorization. One that is must be just as wrong as said
there, and ours just as right. Names that AgavePy cuts (`UNQUOTED`) are no single operation's fault.
"""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from agavesh.api import catalogue
from agavesh.api.models.monitors import MonitorRequest
from agavesh.client import Agave
from tests.conftest import SAID

from .cases import BYTES, ODD, PATH, QUOTED, TEXT, Call, as_json, calls, sample
from .recorder import Part, Recorder, Wire, recording

TOKEN, USERNAME, PASSWORD = "a-token", "alice", "pass word"
FILE = "ü é+ b.txt"
CONTENT = b"line\r\n\0\xff--boundary\n"


@dataclass(frozen=True)
class Fault:
    """What AgavePy does wrong in one call: what it sends, or the error it ends with; and what we send."""

    why: str
    theirs: Wire | str
    ours: Wire


def _faults() -> dict[str, Fault]:
    messages = f"/actors/v2/{ODD}/messages"
    spread = (("A b", "é +"), ("N", "1"))
    stray = tuple(sorted((*spread, ("environment", "A b"), ("environment", "N"))))
    media, default = f"/files/v2/media/system/{ODD}/{PATH}", f"/files/v2/media/{PATH}"
    multipart = "multipart/form-data"
    lone = Part(b"fileToUpload", FILE.encode(), b"text/plain", CONTENT)
    described = [Part(b"fileType", None, b"", b"raw"), Part(b"fileName", None, b"", "other ü+.txt".encode()), lone]
    monitor = sample(MonitorRequest)
    told = [{"url": "https://hook.example.org/?a=b", "event": "*"}]
    form = [("notifications", json.dumps(told)), ("urlToIngest", "https://example.org/ü+ a")]
    return {
        "actors.sendMessage environment": Fault(
            "the variables are spread into the query, and their names are sent once more under `environment`",
            Wire("POST", messages, stray, "application/json", {"message": TEXT}),
            Wire("POST", messages, spread, "application/json", {"message": TEXT}),
        ),
        "actors.sendBinaryMessage environment": Fault(
            "as with sendMessage",
            Wire("POST", messages, stray, "application/octet-stream", BYTES),
            Wire("POST", messages, spread, "application/octet-stream", BYTES),
        ),
        "actors.updateState list": Fault(
            "a list is joined with commas, even as a body, and is no JSON any more",
            Wire("POST", f"/actors/v2/{ODD}/state", (), "application/json", b"a,b"),
            Wire("POST", f"/actors/v2/{ODD}/state", (), "application/json", ["a", "b"]),
        ),
        "files.importData upload described": Fault(
            "with a file, all other fields of the form are dropped",
            Wire("POST", media, (), multipart, [lone]),
            Wire("POST", media, (), multipart, described),
        ),
        "files.importToDefaultSystem upload described": Fault(
            "with a file, all other fields of the form are dropped",
            Wire("POST", default, (), multipart, [lone]),
            Wire("POST", default, (), multipart, described),
        ),
        "files.importData notifications": Fault(
            "the notifications are joined as if they were words",
            "TypeError: sequence item 0: expected str instance, dict found",
            Wire("POST", media, (), "application/x-www-form-urlencoded", form),
        ),
        "jobs.deletePermissionsForUser full": Fault(
            "the parameter is called uniqueName, the path says jobId: the braces are sent",
            Wire("DELETE", f"/jobs/v2/{{jobId}}/pems/{ODD}"),
            Wire("DELETE", f"/jobs/v2/{ODD}/pems/{ODD}"),
        ),
        "jobs.listOutputs least": Fault(
            "the path is optional in its description, and yet demanded: the root cannot be left out",
            "TypeError: Missing required parameter 'filePath' for 'listOutputs'",
            Wire("GET", f"/jobs/v2/{ODD}/outputs/listings/"),
        ),
        "meta.searchSchema full": Fault(
            "it has no q, and wants a uuid that it does not send",
            "TypeError: Missing required parameter 'uuid' for 'searchSchema'",
            Wire("GET", "/meta/v2/schemas", tuple(sorted((("q", TEXT), ("limit", "7"), ("offset", "7"))))),
        ),
        "meta.searchSchema least": Fault(
            "it wants a uuid that it does not send",
            "TypeError: Missing required parameter 'uuid' for 'searchSchema'",
            Wire("GET", "/meta/v2/schemas"),
        ),
        "apps.getJobSubmissionForm full": Fault(
            "the path has a name, and none can be given",
            "TypeError: 'getJobSubmissionForm' does not have parameters ['uniqueName']",
            Wire("GET", f"/apps/v2/{ODD}/form"),
        ),
        **{
            f"monitors.update {kind}": Fault(
                "as with getJobSubmissionForm",
                "TypeError: 'update' does not have parameters ['monitorId']",
                Wire("POST", f"/monitors/v2/{ODD}", (), "application/json", monitor),
            )
            for kind in ("full", "struct")
        },
    }


def _unquoted() -> dict[str, Fault]:
    """What becomes of a name in any operation's path; shown with one."""
    listing = "/files/v2/listings/system/data.demo/"
    quoted = Part(b"fileToUpload", QUOTED.replace('"', "%22").encode(), b"text/plain", CONTENT)
    uploads = {
        f"{key} upload quoted": Fault(
            "a quote in the name of a part is written as an escape that none must undo; we say the name once more",
            Wire("POST", path, (), "multipart/form-data", [quoted]),
            Wire("POST", path, (), "multipart/form-data", [Part(b"fileName", None, b"", QUOTED.encode()), quoted]),
        )
        for key, path in {
            "files.importData": f"/files/v2/media/system/{ODD}/{PATH}",
            "files.importToDefaultSystem": f"/files/v2/media/{PATH}",
        }.items()
    }
    return uploads | {
        "files.list number#sign": Fault(
            "names are not quoted: what follows the number sign is cut off",
            Wire("GET", f"{listing}/ü number"),
            Wire("GET", f"{listing}/ü number#sign"),
        ),
        "files.list question?mark": Fault(
            "names are not quoted: what follows the question mark becomes a query",
            Wire("GET", f"{listing}/ü question", (("mark", ""),)),
            Wire("GET", f"{listing}/ü question?mark"),
        ),
        "files.list escape%41": Fault(
            "names are not quoted: what looks like an escape is read as one",
            Wire("GET", f"{listing}/ü escapeA"),
            Wire("GET", f"{listing}/ü escape%41"),
        ),
        "files.list dots/../and/./more": Fault(
            "dots are resolved before anything is sent: the platform, which has the say over them, never hears of them",
            Wire("GET", f"{listing}/and/more"),
            Wire("GET", f"{listing}/ü dots/../and/./more"),
        ),
    }


FAULTS = _faults()
UNQUOTED = _unquoted()


def _theirs(call: Call) -> Mapping[str, Any]:
    """AgavePy's arguments: the same, but for a name that only it has."""
    arguments = call.theirs or call.arguments
    if call.operation.key == "jobs.deletePermissionsForUser":
        return {"uniqueName": arguments["jobId"], "username": arguments["username"]}
    return arguments


def _answer(heard: Wire, headers: dict[str, str]) -> bytes:
    """A success of the kind that the operation has, so that either client is content."""
    key = headers.get("x-case", "").partition(" ")[0]
    paged = key and catalogue.find(key).answer == "page"
    result = b"[]" if paged else b'{"consumerKey": "k", "consumerSecret": "s"}'
    return b'{"status": "success", "message": null, "version": "2.2.22-r0", "result": ' + result + b"}"


@pytest.fixture(scope="session")
def upload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("upload") / FILE
    path.write_bytes(CONTENT)
    path.with_name(QUOTED).write_bytes(CONTENT)
    return path


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A context for the server, and the certificate that a client must trust: AgavePy only speaks https."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusted = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    return context, trusted


def drive(python: Path, recorder: Recorder, ca: Path, made: list[Call]) -> dict[str, str | None]:
    """Have AgavePy make the calls, and say how each ended."""
    brief = {
        "url": recorder.url, "ca": str(ca), "token": TOKEN, "username": USERNAME, "password": PASSWORD,
        "calls": [
            {
                "case": call.case, "service": call.operation.service, "name": call.operation.name,
                "arguments": {name: as_json(given) for name, given in _theirs(call).items()},
            }
            for call in made
        ],
    }  # fmt: skip
    program = Path(__file__).with_name("drive_agavepy.py")
    done = subprocess.run(
        [python, "-W", "ignore", program], input=json.dumps(brief), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    ends: dict[str, str | None] = json.loads(done.stdout)
    return ends


@pytest.fixture(scope="session")
def theirs(agavepy_python: Path, upload: Path, tls: tuple[ssl.SSLContext, Path]) -> dict[str, list[Wire] | str]:
    """By case, what AgavePy sent, or how it failed before it sent anything."""
    made = calls(upload)
    with recording(_answer, tls[0]) as recorder:
        ends = drive(agavepy_python, recorder, tls[1], made)
    return {call.case: recorder.cases.get(call.case) or str(ends[call.case]) for call in made}


@pytest.fixture(scope="session")
def ours(upload: Path) -> dict[str, list[Wire]]:
    """By case, what we sent."""
    with recording(_answer) as recorder:
        trio.run(_make, recorder.url, calls(upload))
    return recorder.cases


async def _make(url: str, made: list[Call]) -> None:
    with trio.fail_after(60):
        async with Agave(url, token=TOKEN, username=USERNAME, password=PASSWORD) as agave:
            for call in made:
                operation = getattr(getattr(agave, call.operation.service), call.operation.name)
                answer = operation(**call.arguments, headers={"X-Case": call.case})
                await (answer.read() if call.operation.answer == "bytes" else answer)


@pytest.mark.parametrize("key", [operation.key for operation in catalogue.operations()])
def test_the_request_is_the_one_that_agavepy_sends(
    key: str, theirs: dict[str, list[Wire] | str], ours: dict[str, list[Wire]], upload: Path
) -> None:
    for case in _cases(key, upload):
        if fault := (FAULTS | UNQUOTED).get(case):
            found = theirs[case]
            assert (found if isinstance(found, str) else _only(found)) == fault.theirs, fault.why
            assert _only(ours[case]) == fault.ours, fault.why
        elif case.endswith(" nonce"):
            # the nonce is the credential: like AgavePy with `use_nonce` we send no token beside it
            assert ours[case] == [one.without_authorization() for one in theirs[case] if isinstance(one, Wire)]
        else:
            assert ours[case] == theirs[case]
            assert len(ours[case]) == 1


def test_every_documented_operation_is_compared_and_few_are_faulty(
    theirs: dict[str, list[Wire] | str], ours: dict[str, list[Wire]], record_property: Callable[[str, object], None]
) -> None:
    assert set(theirs) == set(ours)
    documented = [operation.key for operation in catalogue.operations() if operation.documented]
    faulty = {case.partition(" ")[0] for case in FAULTS} & set(documented)
    equal = [key for key in documented if key not in faulty]
    record_property(
        SAID,
        f"on the wire against AgavePy 0.9.5: {len(documented)} documented operations, "
        f"{len(equal)} equal in every call, {len(faulty)} with a named fault of AgavePy's",
    )
    assert (len(documented), len(equal), len(faulty)) == (120, 112, 8)


def _cases(key: str, upload: Path) -> list[str]:
    return [call.case for call in calls(upload) if call.operation.key == key]


def _only(wires: list[Wire]) -> Wire:
    """The one request of a case, without its authorization, which the faults leave alone."""
    [sent] = wires
    assert sent.authorization == f"Bearer {TOKEN}"
    return sent.without_authorization()
