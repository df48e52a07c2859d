"""Two images to try actors with: one says what it is told, one counts words."""

from __future__ import annotations

from agavesh.tenant.actors import images
from agavesh.tenant.state import Tenant

ECHO = """\
#!/bin/sh
# Says what it is told: a text, or the bytes of a binary message.
case "$_abaco_Content_Type" in
application/octet-stream) cat "$_abaco_binary_data" ;;
*) printf '%s\\n' "$MSG" ;;
esac
"""

WORDCOUNT = """\
#!/bin/sh
# Counts how often each word of the message is used, the most used first.
printf '%s\\n' "$MSG" | tr -cs '[:alpha:]' '\\n' | tr '[:upper:]' '[:lower:]' | sed '/^$/d' \\
  | sort | uniq -c | sort -k1,1nr -k2 | sed 's/^ *//'
"""


def plant(tenant: Tenant) -> None:
    """Put the programs into the tenant's folder of images."""
    folder = images.folder(tenant.root)
    folder.mkdir(exist_ok=True)
    for name, text in (("echo", ECHO), ("wordcount", WORDCOUNT)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
