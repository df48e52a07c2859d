"""The guide is true: what a scientist would type from it is run, against an embedded tenant."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.test_readme import newcomer, run

__all__ = ["newcomer"]  # a fixture

GUIDE = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()


def blocks(heading: str, language: str = "sh") -> list[str]:
    """The code below a heading of the guide."""
    (section,) = re.findall(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", GUIDE, re.MULTILINE | re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def test_the_shells_commands_succeed(newcomer: dict[str, str], tmp_path: Path) -> None:
    (jobs,), (shell,), (actors,) = blocks("Jobs"), blocks("The shell"), blocks("Actors")
    (tmp_path / "results.csv").write_text("1,2\n")
    jobs = jobs.replace("ticker-1.0 --follow", "ticker-1.0")  # one would look on, and press Ctrl-C
    done = run(jobs + shell + actors, newcomer, tmp_path, "bash", "-euxc")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^2 (be|to)$", done.stdout, re.MULTILINE), done.stdout[-1500:]
    assert '"msg": "answered when its turn comes"' in done.stdout


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="there is no /dev/fuse here")
def test_the_folders_commands_succeed(newcomer: dict[str, str], tmp_path: Path) -> None:
    (folders,) = blocks("Folders")
    begin = "agavesh jobs submit ticker-1.0\n"  # the job that the guide is watching
    folders = re.sub(r"^tail -f (.*)$", r"until head -n 1 \1 | grep .; do sleep 0.1; done", folders, flags=re.MULTILINE)
    done = run(begin + folders + "agavesh jobs stop latest", newcomer, tmp_path, "bash", "-euxc")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "line 1 of" in done.stdout


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="there is no /dev/fuse here")
def test_the_commands_for_one_folder_succeed(newcomer: dict[str, str], tmp_path: Path) -> None:
    (lines,), (recover,) = blocks("One folder, or one program"), blocks("When something could not be sent")
    done = run(lines + recover + "agavesh cat agave://data.demo//alice/sorted.txt", newcomer, tmp_path, "bash", "-euxc")
    assert done.returncode == 0, done.stdout + done.stderr
    listed, _, content = done.stdout.partition("README.txt\n")
    assert content.splitlines()[-3:] == sorted(content.splitlines()[-3:])
    assert content.strip(), listed


def test_a_rehearsal_goes_as_told(newcomer: dict[str, str], tmp_path: Path) -> None:
    serve, ask = blocks("Rehearsing trouble")
    root = tmp_path / "rehearsal"
    words = serve.replace("/tmp/rehearsal", str(root)).split()
    environment = newcomer | {"PATH": f"{tmp_path}/.venv/bin:{newcomer['PATH']}"}
    with subprocess.Popen(words, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as tenant:
        try:
            assert tenant.stderr is not None
            said = next(line for line in tenant.stderr if "serving" in line)  # after what it may have to warn of
            (url,) = re.findall(r"http://[\d.]+:\d+", said)
            (tmp_path / "password").write_text(json.loads((root / "tenant.json").read_text())["users"][0]["password"])
            ask = ask.replace("/tmp/rehearsal", str(root)).replace("http://127.0.0.1:41873", url)
            ask = ask.replace("--user alice", "--user alice --password-stdin <password")
            done = run(ask, environment, tmp_path, "bash", "-euxc")
        finally:
            tenant.terminate()
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"lose +jobs\.submit +0 +1", done.stdout), done.stdout


def test_the_pages_and_places_that_the_docs_name_exist() -> None:
    docs = Path(__file__).parents[2] / "docs"
    for page in [*docs.rglob("*.md"), docs.parent / "README.md"]:
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target, place in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
            other = (page.parent / target) if target else page
            assert other.exists(), f"{page.name}: {target}"
            if place:
                assert place in anchors(other), f"{page.name}: {target}#{place}"


def anchors(page: Path) -> set[str]:
    """The places of a page that a link can lead to, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
