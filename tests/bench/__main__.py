"""All benchmarks; or one of them by name: `python -m tests.bench start|mount|tenant|load|peers|page [OPTIONS]`."""

import sys
import tempfile
from pathlib import Path

from tests.bench import load, mount, page, peers, start, tenant
from tests.bench.house import House

IN_A_HOUSE = {"start": start.run, "mount": mount.run, "tenant": tenant.run, "load": load.run}
BY_THEMSELVES = {"peers": peers.main, "page": page.main}


def main(words: list[str]) -> None:
    if words and (alone := BY_THEMSELVES.get(words[0])) is not None:
        alone(words[1:])
        return
    if unknown := set(words) - set(IN_A_HOUSE):
        known = ", ".join([*IN_A_HOUSE, *BY_THEMSELVES])
        raise SystemExit(f"no benchmark {' '.join(sorted(unknown))}: there are {known}")
    with tempfile.TemporaryDirectory(prefix="agave-bench-") as folder, House(Path(folder)) as house:
        for name, run in IN_A_HOUSE.items():
            if not words or name in words:
                run(house)
    if not words:
        peers.main([])


main(sys.argv[1:])
