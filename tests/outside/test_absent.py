"""What AgavePy knows of and the embedded tenant does not have is refused as such, not as a path that leads nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import trio

from agavesh.api import catalogue
from agavesh.client import Agave
from agavesh.tenant import server
from agavesh.tenant.handlers.absent import ABSENT

from ..conftest import Tenant

DRIVER = Path(__file__).with_name("drive_absent.py")
NAMELESS = {"actors.aliases.nonces", "actors.aliases.permissions"}  # to AgavePy


async def test_whatever_agavepy_knows_is_answered_or_is_501_with_its_name(
    agavepy_python: Path, tenant_root: Path
) -> None:
    known = [one.key for one in catalogue.operations()]
    async with server.running(tenant_root, tls=True) as state:
        brief = {"url": state.url, "token": Tenant(state).token("alice"), "known": known}
        brief["ca"] = str(tenant_root / "tls" / "ca.pem")
        with trio.fail_after(90):
            done = await trio.run_process(
                [agavepy_python, "-W", "ignore", DRIVER], stdin=json.dumps(brief).encode(), capture_stdout=True,
                env={"HOME": str(tenant_root)},
            )  # fmt: skip
    ends = json.loads(done.stdout)
    assert set(ends) == {name for name, _, _ in ABSENT} - NAMELESS
    assert len(ends) == 26
    for key, (status, envelope) in ends.items():
        assert (key, status, envelope["status"]) == (key, 501, "error")
        assert f"does not offer {key}: " in envelope["message"]
        assert set(envelope) == {"status", "message", "version"}


async def test_each_is_501_to_our_client_and_to_nobody_without_a_token(tenant: Tenant, agave: Agave) -> None:
    async with httpx.AsyncClient(base_url=tenant.url, trust_env=False) as nobody:
        for name, method, path in ABSENT:
            target = path.format_map(Anything())
            answer = await agave.raw(method, target, json={} if method in ("POST", "PUT") else None)
            assert (name, answer.status) == (name, 501)
            assert f"does not offer {name}: " in json.loads(answer.body)["message"]
            assert (await nobody.request(method, target)).status_code == 401


class Anything(dict[str, str]):
    """Something for every name."""

    def __missing__(self, name: str) -> str:
        return "x"
