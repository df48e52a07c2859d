"""Runs under AgavePy's own Python: makes the calls it reads from standard input, writes how each ended.

In: {"url", "ca", "token", "username", "password", "calls": [{"case", "service", "name", "arguments"}]}.
Out: {case: null, or the exception's class and text}. It imports nothing of ours.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

from agavepy.agave import Agave  # type: ignore[import-not-found]  # it lives in an environment of its own


def value(given: Any) -> Any:
    """A JSON value, where {"$bytes": …} and {"$file": …} stand for what JSON cannot say."""
    if isinstance(given, dict) and "$bytes" in given:
        return base64.b64decode(given["$bytes"])
    if isinstance(given, dict) and "$file" in given:
        return Path(given["$file"]).open("rb")
    return given


def main() -> None:
    brief = json.load(sys.stdin)
    agave = Agave(
        api_server=brief["url"], token=brief["token"], username=brief["username"], password=brief["password"],
        verify=brief["ca"], proxies={},
    )  # fmt: skip
    # AgavePy compares host and port with the host alone, and so signs no request to a server that names its port
    agave.host = "localhost"
    agave.refresh_aris()
    ends: dict[str, str | None] = {}
    for call in brief["calls"]:
        arguments = {name: value(given) for name, given in call["arguments"].items()}
        try:
            getattr(getattr(agave, call["service"]), call["name"])(**arguments, headers={"X-Case": call["case"]})
        except Exception as failure:  # noqa: BLE001  # how it fails is what is asked
            ends[call["case"]] = f"{type(failure).__name__}: {failure}"
        else:
            ends[call["case"]] = None
    json.dump(ends, sys.stdout)


main()
