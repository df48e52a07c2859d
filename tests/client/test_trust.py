"""Certificates: a good one is trusted, and of a bad one people are told what is wrong with it."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import trio

from agavesh.client import Agave, errors
from agavesh.client.accounts import Account
from agavesh.tenant import server
from tests.client.wire import answer, certificate, peer


async def told(context: ssl.SSLContext, shown: Path | None, host: str = "localhost") -> str:
    """What a person reads when this certificate is met."""
    async with peer(lambda seen: answer(), context, host) as there:
        account = Account(there.url, access_token="secret", ca_cert=str(shown) if shown else None)
        async with Agave(account=account) as agave:
            with pytest.raises(errors.Untrusted) as caught:
                await agave.systems.list()
        assert not there.seen  # above all no token
    return str(caught.value)


async def test_a_certificate_that_is_trusted_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, shown = certificate(tmp_path)
    async with peer(lambda seen: answer(), context, "localhost") as there:
        async with Agave(account=Account(there.url, access_token="t", ca_cert=str(shown))) as agave:
            assert await agave.systems.list() == []
        async with Agave(there.url, token="t", verify=str(shown)) as agave:
            assert await agave.systems.list() == []
        monkeypatch.setenv("AGAVE_CA_CERT", str(shown))
        async with Agave(there.url, token="t") as agave:
            assert await agave.systems.list() == []
        monkeypatch.delenv("AGAVE_CA_CERT")
        async with Agave(there.url, token="t", verify=False) as agave:
            assert await agave.systems.list() == []


async def test_the_embedded_tenants_own_certificate(tenant_root: Path) -> None:
    async with server.running(tenant_root, tls=True) as state:
        user = state.secrets.users[0]
        account = Account(
            state.url,
            user["username"],
            api_key=state.secrets.client["key"],
            api_secret=state.secrets.client["secret"],
            password=user["password"],
            ca_cert=str(tenant_root / "tls" / "ca.pem"),
        )
        async with Agave(account=account) as agave, trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(lambda: agave.files.list(systemId="data.demo", filePath=f"/{user['username']}"))
        async with Agave(account=replace(account, ca_cert=None)) as agave:
            with pytest.raises(errors.Untrusted, match="signed by nobody we trust"):
                await agave.files.list(systemId="data.demo", filePath="/alice")


async def test_one_that_nobody_signed(tmp_path: Path) -> None:
    context, _ = certificate(tmp_path)
    said = await told(context, None)
    assert "is signed by nobody we trust" in said
    assert "AGAVE_CA_CERT" in said


async def test_one_that_has_expired(tmp_path: Path) -> None:
    context, shown = certificate(tmp_path, ends=timedelta(days=-1))
    assert "has expired" in await told(context, shown)


async def test_one_that_is_not_valid_yet(tmp_path: Path) -> None:
    context, shown = certificate(tmp_path, starts=timedelta(days=1))
    assert "is not valid yet" in await told(context, shown)


async def test_one_of_another_host(tmp_path: Path) -> None:
    context, shown = certificate(tmp_path, "elsewhere.example")
    assert "is for another host" in await told(context, shown)
    _, shown = certificate(tmp_path, "localhost")
    context, shown = certificate(tmp_path, "localhost")
    assert "is for another host" in await told(context, shown, "127.0.0.1")


async def test_https_where_plain_http_is_spoken() -> None:
    async with peer(lambda seen: answer(400, b"")) as there:
        async with Agave(there.url.replace("http:", "https:"), token="secret", deadline=2) as agave:
            with pytest.raises(errors.Untrusted, match="the right one of http and https"):
                await agave.systems.list()


async def test_a_file_of_authorities_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("nothing")
    for name, why in (("no.pem", "no.pem: it holds no certificates"), ("missing.pem", "missing.pem: No such file")):
        async with Agave("https://localhost:1", token="t", verify=str(tmp_path / name)) as agave:
            with pytest.raises(errors.BadArgument, match=why):
                await agave.systems.list()
