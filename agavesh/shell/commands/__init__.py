"""The commands, a module for each noun.

`MODULES` says which module holds which, so that a line loads only what it names; a test compares it with the modules.
"""

from agavesh.shell.command import Table

MODULES = {
    "about": ("exit", "help", "quit", "set", "version"),
    "account": ("login", "logout", "whoami"),
    "api": ("api",),
    "apps": ("apps", "apps list", "apps show"),
    "change": ("cp", "mkdir", "mv", "rm"),
    "files": ("cd", "ls", "pwd", "stat"),
    "faults": ("tenant fault", "tenant fault add", "tenant fault clear", "tenant fault list"),
    "jobs": (
        "jobs", "jobs delete", "jobs history", "jobs list", "jobs logs", "jobs resubmit", "jobs show", "jobs stop",
        "jobs submit", "jobs wait",
    ),
    "mount": ("mount", "umount"),
    "read": ("cat", "head", "tail"),
    "systems": ("systems", "systems default", "systems list", "systems show"),
    "tenant": (
        "tenant", "tenant serve", "tenant start", "tenant status", "tenant stop", "tenant user", "tenant user add",
        "tenant user list", "tenant user password", "tenant user remove",
    ),
    "transfer": ("get", "put"),
}  # fmt: skip


def all_commands() -> Table:
    """The table of all commands, none of them loaded yet."""
    return Table(__name__, MODULES)
