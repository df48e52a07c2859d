"""Runs a script under AgavePy's own Python: `python run_agavepy.py SCRIPT`. It imports nothing of ours.

AgavePy compares host and port with the host alone, and so signs no request to a server that names its port: here its
`host` is the name alone. Nothing else of it is changed.
"""

import runpy
import sys
from typing import Any

from agavepy.agave import Agave  # type: ignore[import-not-found]  # it lives in an environment of its own


def name_alone(agave: Any, host: str) -> None:
    vars(agave)["host"] = host.partition(":")[0]


Agave.host = property(lambda agave: vars(agave)["host"], name_alone)
runpy.run_path(sys.argv[1], run_name="__main__")
