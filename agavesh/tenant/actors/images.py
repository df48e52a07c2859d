"""Images: the programs that actors are made of. An image's name is a path below the tenant's `images/` folder.

The platform's images are containers, and those are not run here. What lies in the folder is the choice of whoever owns
the tenant, links included; no name leads out of it.
"""

from __future__ import annotations

import os
from pathlib import Path

from agavesh.tenant.refusal import Refusal

LONGEST = 255  # characters of a name


def folder(root: Path) -> Path:
    """Where the images of a tenant are."""
    return root / "images"


def find(root: Path, name: str) -> Path:
    """The program behind the name of an image. Refusal 400 if there is none."""
    parts = name.split("/")
    plain = len(name) <= LONGEST and name.isprintable() and not any(part in ("", ".", "..") for part in parts)
    path = folder(root).joinpath(*parts) if plain else None
    if path is None or not path.is_file() or not os.access(path, os.X_OK):
        raise Refusal(
            400, f"There is no image {name[:LONGEST]!r} here. This tenant runs no containers: an image is the name of"
            " an executable file in the folder images of the tenant; put one there, and try again."
        )  # fmt: skip
    return path


def names(root: Path) -> list[str]:
    """The images there are."""
    top = folder(root)
    found = (path for path in top.rglob("*") if path.is_file() and os.access(path, os.X_OK))
    return sorted(str(path.relative_to(top)) for path in found)
