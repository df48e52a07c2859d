"""All cases, one after another."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

from tests.agavefs.calls import CASES
from tests.agavefs.calls.steps import Steps, folder


def run(root: Path) -> None:
    os.umask(0o022)
    for number, (name, act) in enumerate(CASES.items()):
        print(json.dumps({"begun": name}), flush=True)
        steps = Steps()
        try:
            act(steps, folder(root / f"case{number}"))
        except Exception:  # noqa: BLE001  # it is told, and the others are still run
            steps.note("it broke", traceback.format_exc())
        print(json.dumps({"case": name, "told": steps.told}), flush=True)


run(Path(sys.argv[1]))
