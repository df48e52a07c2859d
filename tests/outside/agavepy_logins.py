"""Runs under AgavePy's own Python: saves a login, or takes the saved one up, in $AGAVE_CACHE_DIR.

python agavepy_logins.py save < FIELDS_JSON      python agavepy_logins.py restore [refresh] > WHAT_IT_HOLDS_JSON
"""

import json
import os
import sys
from typing import Any

from agavepy.agave import Agave  # type: ignore[import-not-found]  # it lives in an environment of its own

FOLDER = os.environ["AGAVE_CACHE_DIR"]


def save() -> None:
    fields = json.load(sys.stdin)
    agave = Agave(api_server=fields["api_server"], username=fields["username"], proxies={})
    for name, value in fields.items():
        setattr(agave, name, value)
    agave.save_configs(FOLDER)


def restore(refresh: bool) -> dict[str, Any]:
    agave = Agave.restore()
    if refresh:
        agave.token.refresh()  # and it rewrites the file by itself
    held: dict[str, Any] = {name: getattr(agave, name) for name in ("api_server", "username", "api_key", "api_secret")}
    return held | {"token": agave._token, "refresh_token": agave.token.token_info["refresh_token"]}


if sys.argv[1] == "save":
    save()
else:
    json.dump(restore("refresh" in sys.argv), sys.stdout)
