"""An answer passed on while it is written, in pieces that are checked before they leave."""

import re
import time

from agents.event_log import EventLog

DELTA_INTERVAL_SECONDS = 0.03
MAX_HELD = 64
"""Characters of an unfinished word held back at most; identifiers have 36."""
OVERLAP = 256
"""Characters before a piece that are looked at together with it."""
_UNFINISHED_WORD = re.compile(r"[\w-]*\Z")


class DeltaStream:
    """Sends a growing text, every 30 ms at most.

    A word that may still go on is held back, so that no identifier leaves in two halves.
    """

    def __init__(self, log: EventLog) -> None:
        """Send through `log`, from offset 0."""
        self._log = log
        self._text = ""
        self._sent = 0
        self._sent_at = 0.0

    def grow(self, text: str) -> None:
        """Add `text` to the end, and send what is due.

        Raises:
            ContextIsolationError, QuarantinedError: when something may not leave.
        """
        self._text += text
        if time.monotonic() - self._sent_at < DELTA_INTERVAL_SECONDS:
            return
        tail = self._text[-MAX_HELD:]
        unfinished = _UNFINISHED_WORD.search(tail)
        self._send_up_to(len(self._text) - (len(unfinished[0]) if unfinished else 0))

    def finish(self, text: str) -> None:
        """Send the rest of the whole `text`.

        Raises:
            ContextIsolationError, QuarantinedError: when something may not leave.
        """
        self._text = text
        self._send_up_to(len(text))

    def restart(self) -> None:
        """Begin anew at offset 0: what was sent so far turned out to be no answer."""
        self._text, self._sent = "", 0

    def _send_up_to(self, end: int) -> None:
        if end <= self._sent:
            return
        before = self._text[max(0, self._sent - OVERLAP) : self._sent]
        self._log.send_delta(offset=self._sent, text=self._text[self._sent : end], before=before)
        self._sent, self._sent_at = end, time.monotonic()
