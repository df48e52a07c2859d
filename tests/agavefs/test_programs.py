"""Programs that know nothing of us."""

from __future__ import annotations

import pytest
import trio

from tests.agavefs.mounting import Mount, mounted

PROGRAMS = {
    "cp -p": "cp -p /bin/ls . && cmp /bin/ls ls && test $(stat -c %a%Y ls) = $(stat -Lc %a%Y /bin/ls)",
    "mv": "echo x > a && mv a b && mkdir d && mv b d && mv d e && cat e/b",
    "grep": "mkdir g && for n in 1 2 3; do echo needle$n > g/$n; done && test $(grep -r needle g | wc -l) = 3",
    "dd": "dd if=/dev/zero of=z bs=64k count=40 && dd if=/dev/urandom of=z bs=1k count=3 seek=5 conv=notrunc &&"
    " test $(stat -c %s z) = 2621440",
    "sed": "printf 'a\\nb\\n' > s && sed -i s/a/c/ s && test \"$(cat s)\" = \"$(printf 'c\\nb')\"",
    "tar": "mkdir t && echo 1 > t/1 && tar cf t.tar t && rm -r t && tar xf t.tar && cat t/1",
    "python": "python3 -c \"import shelve; d = shelve.open('sh'); d['a'] = 1; d.close(); "
    "assert shelve.open('sh')['a'] == 1\"",
    "sort in place": "seq 1000 > n && sort -r n -o n && test $(head -1 n) = 999",
    "a lock": "flock lock -c 'echo held' && mkdir lockdir && ! mkdir lockdir 2>/dev/null",
    "find and delete": "mkdir -p f/a/b && touch f/a/1 f/a/b/2 && find f -delete && ! test -e f",
}


async def test_programs_do_what_they_do_anywhere(mount: Mount) -> None:
    for name, line in PROGRAMS.items():
        done = await mount.run("sh", "-e", "-c", line, cwd=mount.home)
        assert done.returncode == 0, f"{name}: {done.stderr}"
    assert "not sent    0" in await mount.status()


async def test_many_programs_at_once(mount: Mount) -> None:
    work = "mkdir $1 && for n in $(seq 9); do f=$1/$((n % 3)); echo $n > $f; cat $f; mv $f $1/g; ls; done && rm -r $1"
    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(mount.sh, work, f"d{number}")
        for _ in range(3):
            nursery.start_soon(mount.run, "find", mount.home)
    assert await mount.sh("ls -A") == ""


async def test_two_mounts_of_one_account_do_not_disturb_each_other(
    mount: Mount, tmp_path_factory: pytest.TempPathFactory
) -> None:
    state = mount.environ["XDG_STATE_HOME"]
    async with mounted(mount.tenant, tmp_path_factory.mktemp("second"), XDG_STATE_HOME=state) as other:
        await mount.sh("echo one > f; mkdir d; echo two > d/g")
        assert await other.sh("cat f d/g") == "one\ntwo\n"
        await other.sh("echo three > f")
        assert await mount.sh("cat f") == "three\n"
        told = (await mount.agavefs("status")).stdout.splitlines()
        assert len([line for line in told if not line.startswith(" ")]) == 2
