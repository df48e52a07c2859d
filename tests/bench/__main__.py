"""All benchmarks; or one of them by name: `python -m tests.bench start|mount|tenant|peers [OPTIONS]`."""

import sys
import tempfile
from pathlib import Path

from tests.bench import mount, peers, start, tenant
from tests.bench.house import House

IN_A_HOUSE = {"start": start.run, "mount": mount.run, "tenant": tenant.run}


def main(words: list[str]) -> None:
    if words[:1] == ["peers"]:
        peers.main(words[1:])
        return
    if unknown := set(words) - set(IN_A_HOUSE):
        raise SystemExit(f"no benchmark {' '.join(sorted(unknown))}: there are {', '.join(IN_A_HOUSE)} and peers")
    with tempfile.TemporaryDirectory(prefix="agave-bench-") as folder, House(Path(folder)) as house:
        for name, run in IN_A_HOUSE.items():
            if not words or name in words:
                run(house)
    if not words:
        peers.main([])


main(sys.argv[1:])
