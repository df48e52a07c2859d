"""Completion: which words are offered, and that they read back as what they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agavesh.shell import complete
from agavesh.shell.tokens import lex
from tests.shell.conftest import Shell
from tests.shell.test_files import NAMES

ALICE = "/systems/data.demo/alice"


async def offered(shell: Shell, text: str) -> list[str]:
    """The candidates for a text that goes to the cursor."""
    return [candidate.word for candidate in (await complete.find(shell.here, text)).candidates]


async def line_with(shell: Shell, text: str, name: str) -> str:
    """The line after the candidate that ends in a name was chosen."""
    answer = await complete.find(shell.here, text)
    (chosen,) = [candidate for candidate in answer.candidates if candidate.word.rstrip("/").endswith(name)]
    return text[: answer.place] + chosen.text


async def test_commands_and_their_second_words_are_offered(shell: Shell) -> None:
    assert await offered(shell, "l") == ["login", "logout", "ls"]
    assert await offered(shell, "jobs su") == ["submit"]
    assert await offered(shell, "pwd; tena") == ["tenant"]
    assert await offered(shell, "nothing ") == []


async def test_options_are_offered_after_a_dash(shell: Shell) -> None:
    assert await offered(shell, "ls --re") == ["--recursive", "--reverse"]
    assert await offered(shell, "ls -o ") == ["table", "json", "csv"]
    assert await offered(shell, "ls --output=j") == ["--output=json"]


async def test_remote_paths_are_offered_from_every_kind_of_beginning(shell: Shell, home: Path) -> None:
    assert await offered(shell, "ls /") == ["/apps/", "/jobs/", "/systems/"]
    assert await offered(shell, "ls /systems/d") == ["/systems/data.demo/"]
    assert await offered(shell, f"cat {ALICE}/docs/") == [f"{ALICE}/docs/a.txt", f"{ALICE}/docs/b.md"]
    assert await offered(shell, f"cat {ALICE}/docs/.") == [f"{ALICE}/docs/.hidden"]
    assert await offered(shell, "ls agave://da") == ["agave://data.demo/"]
    assert await offered(shell, "ls agave://data.demo//alice/R") == ["agave://data.demo//alice/README.txt"]
    assert await offered(shell, "ls agave://data.demo/al") == []  # from the home, and that is alice's own
    assert await offered(shell, "ls agave://data.demo/R") == ["agave://data.demo/README.txt"]
    assert await offered(shell, "ls /systems/data.demo/~/R") == ["/systems/data.demo/~/README.txt"]
    await shell.good(f"cd {ALICE}")
    assert await offered(shell, "cat R") == ["README.txt"]
    assert await offered(shell, "cat ../al") == ["../alice/"]
    assert await offered(shell, "cd ") == ["docs/"]


async def test_outputs_of_jobs_are_offered(shell: Shell, home: Path) -> None:
    job = (await shell.good(f"jobs submit wordcount-1.0 text={ALICE}/README.txt --wait")).out.strip()
    assert await offered(shell, "cat /jobs/latest/outputs/wordcount.t") == ["/jobs/latest/outputs/wordcount.txt"]
    assert await offered(shell, f"cat job:{job}/REA") == [f"job:{job}/README.txt"]
    assert f"job:{job}/" in await offered(shell, "cat job:")
    assert job in await offered(shell, "jobs show ")
    assert not [word for text in ("jobs show ", "cat job:") for word in await offered(shell, text) if "by-" in word]
    assert await offered(shell, "ls /jobs/latest/") == [
        f"/jobs/latest/{name}" for name in ("history.json", "job.json", "outputs/", "status")
    ]
    assert await offered(shell, "ls /jobs/by-") == ["/jobs/by-name/", "/jobs/by-status/"]
    assert await offered(shell, "ls /jobs/by-status/F") == ["/jobs/by-status/FINISHED/"]
    assert await offered(shell, "ls /jobs/by-status/FINISHED/") == [f"/jobs/by-status/FINISHED/{job}/"]
    place = f"/jobs/by-status/FINISHED/{job}"
    assert await offered(shell, f"cat {place}/outputs/wordcount.t") == [f"{place}/outputs/wordcount.txt"]


@pytest.mark.parametrize("name", NAMES)
async def test_any_name_completes_to_what_reads_back(shell: Shell, home: Path, name: str) -> None:
    (home / "docs" / name).write_text("content")
    await shell.good(f"cd {ALICE}/docs")
    for text in ("cat " if name not in ("...",) else "cat .", f"cat {ALICE}/docs/" + ("." if name == "..." else "")):
        line = await line_with(shell, text, name)
        assert line.endswith(" ")
        assert line.rstrip("\n").isprintable()
        assert (await shell.good(line)).out == "content"


async def test_an_open_quote_is_taken_into_account(shell: Shell, home: Path) -> None:
    (home / "two words").write_text("content")
    for text in (f"cat '{ALICE}/two w", f'cat "{ALICE}/tw', f"cat {ALICE}/two\\ "):
        (token,) = [token for token in lex((await line_with(shell, text, "two words")).strip()) if "two" in token.text]
        assert token.text == f"{ALICE}/two words"


async def test_accents_may_be_written_either_way(shell: Shell, home: Path) -> None:
    (home / "cafe\u0301").touch()
    assert await offered(shell, f"cat {ALICE}/caf\u00e9") == [f"{ALICE}/cafe\u0301"]


async def test_apps_their_inputs_and_values_are_offered(shell: Shell, home: Path) -> None:
    assert await offered(shell, "jobs submit wo") == ["wordcount-1.0"]
    assert {"text=", "top="} <= set(await offered(shell, "jobs submit wordcount-1.0 t"))
    assert await offered(shell, f"jobs submit wordcount-1.0 text={ALICE}/R") == [f"text={ALICE}/README.txt"]
    assert await offered(shell, "jobs submit wordcount-1.0 archiveSystem=d") == ["archiveSystem=data.demo"]
    assert await offered(shell, "jobs submit wordcount-1.0 archive=") == ["archive=true", "archive=false"]
    assert await offered(shell, "apps show t") == ["ticker-1.0"]


async def test_filters_are_offered(shell: Shell) -> None:
    assert await offered(shell, "jobs st") == ["stop", "starttime=", "status="]
    assert "status=FAILED" in await offered(shell, "jobs status=F")
    assert await offered(shell, "jobs app=c") == ["app=crash-1.0"]


async def test_operations_and_their_parameters_are_offered(shell: Shell, home: Path) -> None:
    assert await offered(shell, "api fi") == ["files"]
    assert "listPermissions" in await offered(shell, "api files listP")
    assert await offered(shell, "api files list s") == ["systemId="]
    assert await offered(shell, "api files list systemId=d") == ["systemId=data.demo"]
    assert await offered(shell, "api files list systemId=data.demo filePath=/al") == ["filePath=/alice/"]
    assert await offered(shell, "api systems list type=") == ["type=STORAGE", "type=EXECUTION"]


async def test_local_paths_are_offered_where_they_are_meant(shell: Shell, own_folders: Path) -> None:
    (own_folders / "local file").touch()
    (own_folders / "lib").mkdir()
    assert set(await offered(shell, "put l")) >= {"lib/", "local file"}
    assert await offered(shell, "mount l") == ["lib/", "local file"]


async def test_help_and_settings_are_offered(shell: Shell) -> None:
    assert await offered(shell, "help exit") == ["exit", "exit-codes"]
    assert await offered(shell, "help jobs su") == ["submit"]
    assert await offered(shell, "set out") == ["output"]
    assert await offered(shell, "set output ") == ["table", "json", "csv"]


async def test_what_is_known_is_offered_without_asking(shell: Shell, home: Path, tenant: Any) -> None:
    text = f"cat {ALICE}/docs/"
    assert complete.known(shell.here, text) is None
    await shell.good(f"ls {ALICE}/docs")
    with tenant.faults.refusing("files.list"):
        answer = complete.known(shell.here, text)
    assert answer is not None
    assert [candidate.shown for candidate in answer.candidates] == ["a.txt", "b.md"]
    assert answer.folders == [f"{ALICE}/docs"]


async def test_trouble_offers_nothing_and_raises_nothing(shell: Shell, home: Path, tenant: Any) -> None:
    with tenant.faults.refusing("files.list", 403):
        assert await offered(shell, f"cat {ALICE}/docs/") == []
    assert await offered(shell, "cat /systems/none/") == []
    assert set(await offered(shell, "cat agave://")) == {"agave://data.demo/", "agave://run.demo/"}
