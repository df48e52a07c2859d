"""AgavePy's own record of its calls: it logs the name of each and its URL, and the library below it the status.

    INFO  agavepy.swaggerpy.client   list?'systemId=…'
    INFO  agavepy.swaggerpy.client   GET https://localhost:4711/files/v2/listings/…({})
    DEBUG urllib3.connectionpool     https://localhost:4711 "GET /files/v2/listings/… HTTP/1.1" 200 None

A call that AgavePy itself refuses gets no further than its name, and is not in the record.
"""

import logging
from urllib.parse import urlsplit

CALLS, ANSWERS = "agavepy.swaggerpy.client", "urllib3.connectionpool"


class Record(logging.Handler):
    """Listens from its making on. `calls` are pairs of an operation's key and the status of its answer, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, int]] = []
        self._names: dict[int | None, str] = {}  # by thread, the call that is about to be sent
        self._sent: dict[int | None, str] = {}  # by thread, the key of the one that waits for its answer
        for name, level in ((CALLS, logging.INFO), (ANSWERS, logging.DEBUG)):
            logger = logging.getLogger(name)
            logger.setLevel(level)
            logger.addHandler(self)
            logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        thread, words = record.thread, record.getMessage().split()
        if record.name == CALLS and len(words) > 1 and words[1].startswith("https://"):
            service = urlsplit(words[1]).path.split("/")[1]
            self._sent[thread] = f"{service}.{self._names.pop(thread)}"
        elif record.name == CALLS and "?" in words[0]:
            self._names[thread] = words[0].partition("?")[0]
        elif record.name == ANSWERS and thread in self._sent and "HTTP/1.1" in record.getMessage():
            self.calls.append((self._sent.pop(thread), int(words[-2])))
