"""`python -m agavesh`, and the program `agavesh`."""

import sys

from agavesh.shell.main import main as run


def main() -> None:
    """Run the shell and end with its status."""
    sys.exit(run())


if __name__ == "__main__":
    main()
