"""A link that is put in the way between the look and the use leads nobody out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agavesh.tenant.files import steady
from agavesh.tenant.files.disk import Disk
from tests.conftest import Tenant
from tests.tenant.scene import CANARY, Scene, Wire

FOLDER = "/alice/swapped"
MEDIA = "/files/v2/media/system/data.demo/"
UPLOAD = b'--x\r\nContent-Disposition: form-data; name="fileToUpload"; filename="secret"\r\n\r\nuploaded\r\n--x--\r\n'
ASKED: dict[str, tuple[str, str, Any]] = {
    "download": ("GET", f"{MEDIA}{FOLDER}/secret", None),
    "list": ("GET", f"/files/v2/listings/system/data.demo/{FOLDER}", None),
    "upload": ("POST", f"{MEDIA}{FOLDER}", UPLOAD),
    "mkdir": ("PUT", f"{MEDIA}{FOLDER}", {"action": "mkdir", "path": "made"}),
    "rename": ("PUT", f"{MEDIA}{FOLDER}/secret", {"action": "rename", "path": "renamed"}),
    "move": ("PUT", f"{MEDIA}{FOLDER}/secret", {"action": "move", "path": "/alice/moved"}),
    "move there": ("PUT", f"{MEDIA}/alice/mine", {"action": "move", "path": f"{FOLDER}/moved"}),
    "copy": ("PUT", f"{MEDIA}{FOLDER}/secret", {"action": "copy", "path": "/alice/copied"}),
    "copy folder": ("PUT", f"{MEDIA}{FOLDER}", {"action": "copy", "path": "/alice/copied"}),
    "copy there": ("PUT", f"{MEDIA}/alice/mine", {"action": "copy", "path": f"{FOLDER}/copied"}),
    "delete": ("DELETE", f"{MEDIA}{FOLDER}/secret", None),
    "delete folder": ("DELETE", f"{MEDIA}{FOLDER}", None),
}


class Swap:
    """A folder that a job swaps for a link to one outside, after a number of looks at where it is."""

    def __init__(self, folder: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._outside = folder, outside
        self._looks, self.after = 0, 0
        really: Callable[..., str] = Disk.at

        def at(disk: Disk, path: str, *, follow: bool = True) -> str:
            found = really(disk, path, follow=follow)
            if FOLDER in path:
                self._looks += 1
                if self._looks == self.after:
                    self.swap()
            return found

        monkeypatch.setattr(Disk, "at", at)

    def swap(self) -> None:
        self._folder.rename(self._folder.with_name("aside"))
        self._folder.symlink_to(self._outside)

    def lay(self, after: int) -> None:
        """The folder is a folder again, until the next look but so many."""
        aside = self._folder.with_name("aside")
        if self._folder.is_symlink():
            self._folder.unlink()
        for left in (aside, self._folder):
            if left.is_dir():
                for each in left.iterdir():
                    each.rmdir() if each.is_dir() else each.unlink()
                left.rmdir()
        self._folder.mkdir()
        (self._folder / "secret").write_bytes(b"inside")
        (self._folder.parent / "mine").write_bytes(b"mine")
        self._looks, self.after = 0, after

    @property
    def swapped(self) -> bool:
        return self._looks >= self.after


@pytest.fixture
def scene(tenant: Tenant) -> Scene:
    return Scene(tenant)


@pytest.fixture
def swap(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[Swap]:
    yield Swap(scene.tenant.path("data.demo", FOLDER), scene.outside / "folder", monkeypatch)


@pytest.mark.parametrize("what", ASKED)
async def test_a_folder_that_is_swapped_while_it_is_used_leads_nobody_out(scene: Scene, swap: Swap, what: str) -> None:
    wire = Wire(scene.tenant)
    method, target, body = ASKED[what]
    kind = "multipart/form-data; boundary=x" if what == "upload" else "application/json"
    statuses = []
    try:
        for after in range(1, 20):
            swap.lay(after)
            answer = await wire(method, target, body, kind=kind)
            assert scene.told(answer) == []
            assert scene.seen() == scene.was, after
            copied = scene.tenant.root / "systems" / "data.demo" / "alice" / "copied"
            assert not any(CANARY in each.read_bytes() for each in _files(copied))
            statuses.append(answer.status)
            if not swap.swapped:
                break
        assert not swap.swapped, "there are more looks than were tried"
        assert statuses[-1] < 300
        assert set(statuses) <= {200, 201, 202, 400, 403, 404}
        assert len(statuses) > 1
    finally:
        await wire.close()


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else []


def test_a_folder_stays_the_one_it_was_while_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").write_text("first")
    (tmp_path / "other" / "b").mkdir(parents=True)
    (tmp_path / "other" / "b" / "f").write_text("second")
    with steady.folder(tmp_path / "a" / "b") as there:
        (tmp_path / "a").rename(tmp_path / "gone")
        (tmp_path / "a").symlink_to(tmp_path / "other")
        assert (Path(there) / "f").read_text() == "first"
    with pytest.raises(NotADirectoryError), steady.folder(tmp_path / "a" / "b"):
        pass
    (tmp_path / "gone" / "b" / "link").symlink_to("f")
    with pytest.raises(OSError, match="symbolic links"):
        os.close(steady.open_file(tmp_path / "gone" / "b" / "link", os.O_RDONLY))


def test_where_a_path_leads_is_what_its_links_say(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk")
    folder = Path(disk.root) / "folder"
    folder.mkdir(parents=True)
    for name in ("plain", "was (deleted)", "ü \n\\x"):
        (folder / name).touch()
    (folder / os.fsdecode(b"\xff")).touch()
    (folder / "sub").mkdir()
    for name, target in {"to": "plain", "up": "..", "nowhere": "gone", "circle": "circle", "far": "sub/new"}.items():
        (folder / name).symlink_to(target)
    for name in (
        *[each.name for each in folder.iterdir()],
        "none",
        "sub/none",
        "plain/none",
        "up/folder/to",
        "nowhere/x",
    ):
        assert disk.at(f"/folder/{name}") == os.path.realpath(folder / name), name
