"""Where the story takes place: the tenant with its people, each signed in with AgavePy, and our own client to compare.

Our client lives in the test's process, as AgavePy's Python has nothing of ours: it is asked over a socket.
"""

import functools
import re
import time
from datetime import datetime
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dateutil.parser  # type: ignore[import-untyped]  # AgavePy's, not ours
import requests
from agavepy.agave import Agave  # type: ignore[import-not-found]  # it lives in an environment of its own

SYSTEM = "data.demo"
FINAL = ("FINISHED", "FAILED", "STOPPED", "KILLED")
DATE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)")
Facts = dict[str, Any]


class Scene:
    """What a chapter is given. `compared` counts, by operation, the answers that were equal to our client's."""

    def __init__(self, brief: Facts) -> None:
        self.tenant: Facts = brief["tenant"]
        self.url: str = self.tenant["url"]
        self.hook: str = brief["hook"]
        self.folder = Path(brief["book"]).parent
        self.compared: dict[str, int] = {}
        self._ours = Client(brief["ours"], "AF_UNIX")

    @functools.cached_property
    def alice(self) -> Any:
        return self.sign_in("alice")

    @functools.cached_property
    def bob(self) -> Any:
        return self.sign_in("bob")

    @functools.cached_property
    def admin(self) -> Any:
        return self.sign_in("admin")

    def sign_in(self, username: str) -> Any:
        password = next(one["password"] for one in self.tenant["users"] if one["username"] == username)
        agave = Agave(
            api_server=self.url, username=username, password=password,
            api_key=self.tenant["client"]["key"], api_secret=self.tenant["client"]["secret"],
            verify=self.tenant["ca_cert"], proxies={},
        )  # fmt: skip
        # AgavePy compares host and port with the host alone, and so signs no request to a server that names its port
        agave.host = urlsplit(self.url).hostname
        agave.refresh_aris()
        return agave

    def ours(self, key: str, **arguments: Any) -> Any:
        """What our client answers to alice; for a refusal the name of its class."""
        self._ours.send((key, arguments))
        return self._ours.recv()

    def theirs(self, key: str, **arguments: Any) -> Any:
        """What AgavePy answers to alice. Where one record was expected and a list came, it gives the whole envelope."""
        service, name = key.split(".")
        found = getattr(getattr(self.alice, service), name)(**arguments)
        return found["result"] if isinstance(found, dict) and {"status", "result"} <= found.keys() else found

    def same(self, key: str, *, but: str = "", **arguments: Any) -> Any:
        """What AgavePy answers to alice, after our client answered the same, `but` for a field that moves."""
        theirs = self.theirs(key, **arguments)
        ours = self.ours(key, **arguments)
        if but:
            del ours[but]
        if isinstance(theirs, requests.Response):
            assert theirs.content == ours, (key, "other bytes")
        elif differs := difference(theirs, ours):
            raise AssertionError(f"{key}: {differs}")
        self.compared[key] = self.compared.get(key, 0) + 1
        return theirs


def difference(theirs: Any, ours: Any) -> str:
    """Where AgavePy's answer and ours differ; empty if all that ours tells is told by AgavePy's too.

    Ours leaves out what is null, and within a field what the platform does not describe.
    """
    if isinstance(ours, str) and DATE.fullmatch(ours):  # which AgavePy leaves as text where it does not expect one
        moment = theirs if isinstance(theirs, datetime) else dateutil.parser.parse(theirs)
        return "" if dateutil.parser.parse(ours) == moment else f"{theirs} is {ours}"
    if theirs == {} and ours == []:  # so an empty list looks where AgavePy expects one record
        return ""
    if isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            return f"{len(theirs)} are {len(ours)}"
        return next(filter(None, map(difference, theirs, ours)), "")
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if theirs and not ours:
            return "ours is empty"
        for key, value in ours.items():
            if key not in theirs:
                return f"ours alone has {key}"
            if theirs[key] != theirs and (found := difference(theirs[key], value)):
                return f"{key}: {found}"
        return ""
    return "" if theirs == ours else f"{theirs!r} is {ours!r}"


def status_of(call: Any, **arguments: Any) -> int:
    """The status of an answer that AgavePy raises; 0 if it does not."""
    try:
        call(**arguments)
    except requests.HTTPError as refused:
        return refused.response.status_code if refused.response is not None else -1
    return 0


def awaited(call: Any) -> Any:
    """What `call` answers once it is true."""
    for _ in range(600):
        if found := call():
            return found
        time.sleep(0.1)
    raise TimeoutError(call)
