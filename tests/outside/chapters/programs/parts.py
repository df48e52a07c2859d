"""An actor that needs no library: it gives each line of a binary message back as a result, and tells its variables."""

import os
import socket
from pathlib import Path

kind, message, answers = (os.environ[f"_abaco_{name}"] for name in ("Content_Type", "binary_data", "results_sock"))
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as results:
    results.connect(answers)
    if kind == "application/octet-stream":
        for line in Path(message).read_bytes().splitlines():
            results.send(line)
print(" ".join(sorted(os.environ)))
