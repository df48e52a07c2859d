"""Many clients at once on one tenant: the rate, and how long the slowest wait. `make soak` has a minute of it."""

from __future__ import annotations

from functools import partial

import trio

from tests.bench.house import House, table
from tests.bench.tenant import serving
from tests.tenant.crash import tokens
from tests.tenant.load import load

CLIENTS = 200
SECONDS = 10.0
SUBMISSIONS = 0.5  # jobs in a hundred calls


def run(house: House) -> None:
    """Prints a row for each kind of call. An attempt that failed ends the benchmark."""
    root = house.folder / "many"
    with serving(house, root):
        pass
    words = tokens(root, "alice", "bob")
    with serving(house, root) as tenant:
        measured = partial(load, count=CLIENTS, seconds=SECONDS, submissions=SUBMISSIONS)
        found = trio.run(measured, tenant.state["url"], tenant.pid, words, 1)
    if found.trouble:
        raise SystemExit(f"attempts failed under load: {found.trouble}")
    rows = [
        (name, f"{found.rate(*acts):.1f}", *(f"{found.within(part, *acts) * 1e3:.0f}" for part in (0.5, 0.99)))
        for name, *acts in (("all calls",), *((act, act) for act in found.times))
    ]
    table(
        f"{CLIENTS} clients for {SECONDS:.0f} s: no error, and {found.files} files read back as they were written",
        ("call", "a second", "half within ms", "99 in 100 within ms"),
        rows,
    )
