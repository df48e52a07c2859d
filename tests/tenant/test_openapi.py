"""The tenant describes itself to anybody who asks."""

from __future__ import annotations

import json

import httpx

from agavesh.api import openapi

from ..conftest import Tenant


async def test_the_document_is_served_without_a_token_and_names_this_tenant(tenant: Tenant) -> None:
    async with httpx.AsyncClient(base_url=tenant.url, trust_env=False, timeout=30) as nobody:
        answer = await nobody.get("/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == json.loads(json.dumps(openapi.document(tenant.url)))
    assert answer.json()["servers"] == [{"url": tenant.url}]
