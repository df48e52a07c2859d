"""RemotePath: the address of bytes, on a system or among the outputs of a job.

    agave://system//a/b     on a system, from its root          /systems/system/a/b in the tree
    agave://system/a/b      on a system, from the user's home
    job:id/a/b              among a job's outputs                /jobs/id/outputs/a/b in the tree

Names are held as they are; only `uri` and the transport quote them.
"""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple
from urllib.parse import quote, unquote

from agavesh.client.errors import BadArgument

# a name that is not UTF-8 comes from the kernel with surrogates in it, and is quoted as the bytes it stands for
_quote = functools.partial(quote, errors="surrogateescape")
_unquote = functools.partial(unquote, errors="surrogateescape")

Root = Literal["system", "job"]


class RemotePath(NamedTuple):
    """`owner` is the system's or the job's id; `path` begins with a slash unless it is meant from the home."""

    root: Root
    owner: str
    path: str

    @property
    def name(self) -> str:
        """The last part of the path; "" for a root."""
        return self.path.rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> RemotePath:
        """The folder that this stands in; a root is its own parent."""
        head = self.path.rstrip("/").rpartition("/")[0]
        return self._replace(path=head or ("/" if self.path.startswith("/") else ""))

    def __truediv__(self, name: str) -> RemotePath:
        """The path of `name` in this folder."""
        if not name or "/" in name or "\0" in name:
            raise BadArgument(f"{name!r} is no file name", hint="a name is not empty and holds no slash")
        joined = f"{self.path.rstrip('/')}/{name}" if self.path not in ("", "/") else f"{self.path}{name}"
        return self._replace(path=joined)

    @property
    def uri(self) -> str:
        """The address as text, names quoted."""
        if self.root == "job":
            return f"job:{self.owner}{_quote(self.path)}"
        return f"agave://{self.owner}/{_quote(self.path)}"

    def __str__(self) -> str:
        return self.uri

    @property
    def tree_path(self) -> str:
        """The address in the tree, as shell and mount show it. A path from the home has none: ValueError."""
        if self.root == "job":
            return f"/jobs/{self.owner}/outputs{self.path.rstrip('/')}"
        if not self.path.startswith("/"):
            raise ValueError(f"{self.uri} is meant from the home of the system")
        return f"/systems/{self.owner}{self.path.rstrip('/')}"


def parse_uri(text: str) -> RemotePath:
    """A RemotePath from `agave://…` or `job:…`. BadArgument for anything else."""
    if text.startswith("agave://"):
        system, _, rest = text.removeprefix("agave://").partition("/")
        if not system:
            raise BadArgument(f"{text!r} names no system", hint="write agave://SYSTEM/path, or agave://SYSTEM//path")
        return RemotePath("system", _unquote(system), _unquote(rest))
    if text.startswith("job:"):
        job, _, rest = text.removeprefix("job:").partition("/")
        if not job:
            raise BadArgument(f"{text!r} names no job", hint="write job:ID/path")
        return RemotePath("job", _unquote(job), "/" + _unquote(rest))
    raise BadArgument(f"{text!r} is no remote address", hint="write agave://SYSTEM/path or job:ID/path")
