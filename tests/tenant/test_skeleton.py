import hashlib
import hmac

import httpx


async def test_a_password_buys_a_token_that_opens_the_services(tenant):
    async with httpx.AsyncClient(base_url=tenant.url, trust_env=False) as http:
        form = {"grant_type": "password", "username": "alice", "password": tenant.users["alice"], "scope": "PRODUCTION"}
        answer = await http.post("/token", data=form, auth=tenant.client)
        assert answer.status_code == 200, answer.text
        found = await http.get("/actors/v2", headers={"Authorization": f"Bearer {answer.json()['access_token']}"})
    assert found.status_code == 200
    assert found.json()["result"] == []


async def test_it_proves_that_it_holds_the_key_of_its_state_file(tenant):
    nonce = "00" * 16
    async with tenant.http() as http:
        proof = (await http.get("/prove", params={"nonce": nonce})).json()["proof"]
    assert proof == hmac.new(bytes.fromhex(tenant.key), bytes(16), hashlib.sha256).hexdigest()
