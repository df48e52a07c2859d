"""What a program may ask of a filesystem, as a program of its own: `python -m tests.agavefs.calls FOLDER`.

Each case is one function: it makes what it needs in an empty folder, makes calls, and notes what each of them gave. No
case knows what is right, nor where it runs. A case's answers are printed as soon as it is over, a line of JSON each, so
that one which hangs is known by its name.
"""

from tests.agavefs.calls import attributes, content, listing, names, opening, others
from tests.agavefs.calls.steps import CASES

__all__ = ["CASES", "attributes", "content", "listing", "names", "opening", "others"]
