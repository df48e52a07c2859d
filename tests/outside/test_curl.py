"""curl at the tenant, as the platform's old command line tools called it: forms, parts, ranges and basic auth."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import trio


class Curl:
    """curl, signed in as a user. Each call is one request; an answer is its status and its body."""

    def __init__(self, tenant: Any, credentials: list[str]) -> None:
        self.url, self.credentials = tenant.url, credentials
        assert shutil.which("curl"), "apt-get install curl"

    async def __call__(self, path: str, *options: str) -> tuple[int, bytes]:
        mark = "\n%{http_code}"
        command = ["curl", "-s", "--noproxy", "*", "-w", mark, *self.credentials, *options, f"{self.url}{path}"]
        with trio.fail_after(30):
            done = await trio.run_process(command, capture_stdout=True)
        body, _, status = done.stdout.rpartition(b"\n")
        return int(status), body

    async def result(self, path: str, *options: str) -> Any:
        """The `result` of a success."""
        status, body = await self(path, *options)
        assert status < 300, body
        return json.loads(body)["result"]


def signed_in(tenant: Any, username: str = "alice") -> Curl:
    return Curl(tenant, ["-H", f"Authorization: Bearer {tenant.token(username)}"])


MEDIA, LISTINGS = "/files/v2/media/system/data.demo", "/files/v2/listings/system/data.demo"


async def test_forms_parts_and_ranges_work_from_mkdir_to_delete(tenant: Any, tmp_path: Path) -> None:
    curl = signed_in(tenant)
    (tmp_path / "a b.txt").write_bytes(b"0123456789")
    made = await curl.result(f"{MEDIA}//alice", "-X", "PUT", "-d", "action=mkdir", "--data-urlencode", "path=ü +")
    assert made["path"].endswith("ü +")
    folder = f"{MEDIA}//alice/%C3%BC%20+"
    sent = await curl.result(folder, "-F", f"fileToUpload=@{tmp_path}/a b.txt", "-F", "fileName=named.txt")
    assert sent["name"] == "named.txt"
    assert tenant.bytes("data.demo", "alice/ü +/named.txt") == b"0123456789"
    listed = await curl.result(f"{LISTINGS}//alice/%C3%BC%20%2B?limit=10&pretty=true")
    assert [one["name"] for one in listed] == [".", "named.txt"]
    assert await curl(f"{folder}/named.txt", "-r", "2-4") == (206, b"234")
    assert (await curl(f"{folder}/named.txt", "-r", "8-20"))[0] == 416
    status, _ = await curl(f"{folder}/named.txt", "-I")
    assert status == 200
    assert (await curl(folder, "-X", "DELETE"))[0] == 200
    assert (await curl(f"{folder}/named.txt"))[0] == 404


async def test_json_is_taken_with_a_charset(tenant: Any) -> None:
    curl = signed_in(tenant)
    body = json.dumps({"action": "mkdir", "path": "one"})
    await curl.result(f"{MEDIA}//alice", "-X", "PUT", "-H", "Content-Type: application/json; charset=UTF-8", "-d", body)
    assert tenant.path("data.demo", "alice/one").is_dir()


async def test_a_token_is_had_with_curl_alone_and_dies_when_revoked(tenant: Any) -> None:
    key, secret = tenant.client
    password = tenant.users["alice"]
    bare = Curl(tenant, [])
    form = ["-d", "grant_type=password&username=alice&scope=PRODUCTION", "--data-urlencode", f"password={password}"]
    status, body = await bare("/token", "-u", f"{key}:{secret}", *form)
    assert status == 200
    token = json.loads(body)["access_token"]
    curl = Curl(tenant, ["-H", f"Authorization: Bearer {token}"])
    assert (await curl.result("/profiles/v2/me"))["username"] == "alice"
    status, body = await bare("/revoke", "-u", f"{key}:{secret}", "-d", f"token={token}")
    assert status == 200, body
    status, body = await curl("/profiles/v2/me")
    assert status == 401
    assert b"90090" in body


async def test_without_a_token_the_gateway_answers_and_no_service(tenant: Any) -> None:
    status, body = await Curl(tenant, [])("/systems/v2/")
    assert status == 401
    assert b"900902" in body
    status, body = await signed_in(tenant)("/nothing/v2/here")
    assert status in (403, 404)
    assert b"900906" in body
