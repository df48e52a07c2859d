"""`mount.agavefs`: what mount(8) runs for a line of /etc/fstab, or for `mount -t agavefs SOURCE DIR`.

    agave://                    /home/alice/agave  agavefs  noauto,user                                0  0
    agave://data.demo//alice    /data/alice        agavefs  setuid=alice,_netdev,x-systemd.automount   0  0

SOURCE is `agave://` for the whole tree, or a folder as `agavefs mount` takes it. mount(8) looks for helpers in /sbin,
so it is linked there. Options that `agavefs mount` has with two dashes stand here without; `setuid=USER` mounts for
another than root, with that user's saved login. It decides nothing itself.
"""

from __future__ import annotations

import argparse
import os
import pwd
import sys

from agavefs import cli

# mount(8)'s exit status
WRONG, FAILED = 1, 32

ALL = ("agave://", "/", "none")  # the whole tree
LONG = ("cache-dir", "cache-size", "cache-ttl", "connections", "offline-ok", "write-back", "delete-limit")


def main(arguments: list[str] | None = None) -> int:
    """Mount as mount(8) says; its exit status."""
    parser = argparse.ArgumentParser(prog="mount.agavefs", usage="mount.agavefs SOURCE DIR [-sfnvrw] [-o OPTIONS]")
    parser.add_argument("source")
    parser.add_argument("dir")
    for flag in "sfnvrw":
        parser.add_argument(f"-{flag}", action="store_true")
    parser.add_argument("-o", dest="options", action="append", default=[])
    parser.add_argument("-t", dest="type")
    parser.add_argument("-N", dest="namespace")
    try:
        asked = parser.parse_args(arguments)
    except SystemExit as wrong:
        return WRONG if wrong.code else 0
    options = [option for given in asked.options for option in given.split(",") if option]
    user = next((option.partition("=")[2] for option in options if option.startswith("setuid=")), None)
    if asked.f:
        return 0
    if user is not None and not _become(user):
        return WRONG
    words = ["mount", *([] if asked.source in ALL else [asked.source]), asked.dir]
    rest = ["ro"] if asked.r else []
    for option in options:
        name, equals, value = option.partition("=")
        if name in LONG:
            words.append(f"--{name}{equals}{value}")
        elif name != "setuid":
            rest.append(option)
    if "," not in asked.source and not any(option.startswith("fsname=") for option in rest):
        rest.append(f"fsname={asked.source}")  # by this `mount -a` knows that it is mounted
    try:
        status = cli.main([*words, "-o", ",".join(rest)])
    except SystemExit:
        return WRONG
    return WRONG if status == cli.EX_USAGE else FAILED if status else 0


def _become(user: str) -> bool:
    """Be that user from now on, as after a login; whether that is so."""
    try:
        them = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        return _wrong(f"there is no user {user}")
    if os.geteuid() == them.pw_uid:
        return True
    try:
        os.initgroups(them.pw_name, them.pw_gid)
        os.setgid(them.pw_gid)
        os.setuid(them.pw_uid)
    except PermissionError:
        return _wrong(f"only root can mount for {user}")
    for name in [name for name in os.environ if name.startswith("XDG_")]:
        del os.environ[name]
    os.environ.update(HOME=them.pw_dir, USER=them.pw_name, LOGNAME=them.pw_name)
    return True


def _wrong(text: str) -> bool:
    sys.stderr.write(f"mount.agavefs: {text}\n")
    return False


if __name__ == "__main__":
    sys.exit(main())
