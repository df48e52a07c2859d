"""Runs under AgavePy's own Python: calls what AgavePy knows of and the catalogue, told on standard input, has not.

In: {"url", "ca", "token", "known": [keys]}. Out: {key: [status, envelope]} of what is not known. The operations are
those of AgavePy's own description, called with "x" for whatever they want. It imports nothing of ours.
"""

import json
import sys
from typing import Any
from urllib.parse import urlsplit

import requests
from agavepy.agave import Agave  # type: ignore[import-not-found]  # it lives in an environment of its own


def main() -> None:
    brief = json.load(sys.stdin)
    agave = Agave(api_server=brief["url"], token=brief["token"], verify=brief["ca"], proxies={})
    # AgavePy compares host and port with the host alone, and so signs no request to a server that names its port
    agave.host = urlsplit(brief["url"]).hostname
    agave.refresh_aris()
    ends: dict[str, Any] = {}
    for service in agave.resources["apis"]:
        for path in service["api_declaration"]["apis"]:
            for operation in path["operations"]:
                key = f"{service['name']}.{operation['nickname']}"
                if key in brief["known"]:
                    continue
                arguments = {
                    one["name"]: {"a": 1} if one["paramType"] == "body" else "x"
                    for one in operation["parameters"]
                    if one["required"]
                }
                try:
                    getattr(getattr(agave, service["name"]), operation["nickname"])(**arguments)
                except requests.HTTPError as refused:
                    ends[key] = [refused.response.status_code, refused.response.json()]
                else:
                    ends[key] = [200, None]
    json.dump(ends, sys.stdout)


main()
