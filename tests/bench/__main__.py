"""All benchmarks, one table each."""

import tempfile
from pathlib import Path

from tests.bench import mount, start, tenant
from tests.bench.house import House


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="agave-bench-") as folder, House(Path(folder)) as house:
        start.run(house)
        mount.run(house)
        tenant.run(house)


main()
