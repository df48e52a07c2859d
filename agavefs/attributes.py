"""Attributes that programs set and the platform cannot keep: modes and times, remembered while the version stays.

`cp -p`, `tar` and `rsync` set them and look whether it worked. They are remembered for as long as the mount lives and
the file is what it was when they were set; what others then change shows again as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cachetools

from agavesh.client.storage import Version

_MOST = 100_000  # files and folders
UNSETTLED = (-1, 0.0)  # the version of a file of ours that the platform does not have yet


@dataclass(frozen=True)
class Noted:
    """What was set of one file. Times in nanoseconds."""

    version: Version | None
    mode: int | None = None
    modified: int | None = None
    accessed: int | None = None


class Attributes:
    """What was set, by tree path."""

    def __init__(self) -> None:
        self._noted: cachetools.LRUCache[str, Noted] = cachetools.LRUCache(_MOST)

    def __bool__(self) -> bool:
        return len(self._noted) != 0

    def of(self, path: str, version: Version | None) -> Noted | None:
        """What was set of `path`, if it still has that version."""
        noted = self._noted.get(path)
        return noted if noted is not None and noted.version == version else None

    def note(
        self,
        path: str,
        version: Version | None,
        *,
        mode: int | None = None,
        modified: int | None = None,
        accessed: int | None = None,
    ) -> None:
        """Remember what is not None."""
        known = self.of(path, version) or Noted(version)
        self._noted[path] = Noted(
            version,
            known.mode if mode is None else mode,
            known.modified if modified is None else modified,
            known.accessed if accessed is None else accessed,
        )

    def written(self, path: str, before: Version | None) -> None:
        """The bytes were changed here: the mode stays, the times don't."""
        noted = self.of(path, before) or self.of(path, UNSETTLED)
        self.forget(path)
        if noted is not None and noted.mode is not None:
            self._noted[path] = Noted(UNSETTLED, noted.mode)

    def settled(self, path: str, before: Version | None, version: Version | None) -> None:
        """What was set of the version `before` holds of `version`: same file, same bytes."""
        if (noted := self.of(path, before)) is not None:
            self._noted[path] = replace(noted, version=version)

    def moved(self, old: str, new: str) -> None:
        """A file or folder has a new path, and so has what is in it."""
        self.forget(new)
        for path in [path for path in self._noted if path == old or path.startswith(old + "/")]:
            self._noted[new + path[len(old) :]] = self._noted.pop(path)

    def forget(self, path: str) -> None:
        self._noted.pop(path, None)
