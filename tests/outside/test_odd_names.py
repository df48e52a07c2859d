"""Names that AgavePy cuts or re-reads on the way: they reach the platform whole, and come back as they were."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
import trio

from agavesh.client.errors import NotFound

NAMES = [
    "a#b", "#", "a?b=c&d", "?", "100%", "a%41b", "a%2Fb", "%", "%%25", "a%00b", "a#?%23b",
    "a+b c", " leading", "trailing ", "quote\"s and 'quotes'", "line\nbreak", "semi;colon, comma", "[a]{b}<c>|d^e`f",
    unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"),
    "日本語 ß", "😀", "x" * 255, "é" * 127, "...", ".hidden", "~",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:30])
async def test_a_name_round_trips_through_upload_listing_and_download(
    agave: Any, tenant: Any, tmp_path: Path, name: str
) -> None:
    content = f"the content of {name}".encode()
    local = tmp_path / "local" / name
    local.parent.mkdir()
    local.write_bytes(content)
    with trio.fail_after(30):
        body = {"action": "mkdir", "path": name}
        await agave.files.manage(systemId="data.demo", filePath="/alice", body=body)
        folder = f"/alice/{name}"
        await agave.files.importData(systemId="data.demo", filePath=folder, fileToUpload=local)
        assert tenant.bytes("data.demo", f"{folder}/{name}") == content
        listed = await agave.files.list(systemId="data.demo", filePath=folder)
        assert [(one.name, one.path) for one in listed] == [(".", folder), (name, f"{folder}/{name}")]
        assert await agave.files.download(systemId="data.demo", filePath=f"{folder}/{name}").read() == content
        await agave.files.delete(systemId="data.demo", filePath=f"{folder}/{name}")
        with pytest.raises(NotFound):
            await agave.files.download(systemId="data.demo", filePath=f"{folder}/{name}").read()
        await agave.files.delete(systemId="data.demo", filePath=folder)


async def test_names_that_agavepy_would_confuse_are_kept_apart(agave: Any, tmp_path: Path) -> None:
    alike = ["a", "a#b", "a?b", "a%41", "aA", "a%2541"]
    with trio.fail_after(30):
        for name in alike:
            local = tmp_path / name
            local.write_text(name)
            await agave.files.importData(systemId="data.demo", filePath="/alice", fileToUpload=local)
        for name in alike:
            assert await agave.files.download(systemId="data.demo", filePath=f"/alice/{name}").read() == name.encode()
