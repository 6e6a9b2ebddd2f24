"""What a person at the terminal sees: the agents at work, then the answer."""

from typing import Any, Self

from rich.console import Console
from rich.markdown import Markdown
from rich.status import Status
from rich.text import Text

from realtime.terminal.waiting import waiting_words

# Control characters could move the cursor or rename the window; line breaks and tabs are harmless.
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


class LiveProgress:
    """Shows frames as they come: progress on standard error, the answer on standard output."""

    def __init__(self, *, answer: Console | None = None, progress: Console | None = None) -> None:
        """Write to these consoles, the terminal's own by default."""
        self._answer = answer or Console()
        self._progress = progress or Console(stderr=True)
        self._status: Status | None = None
        self._wait = ""

    def __enter__(self) -> Self:
        self._status = self._progress.status("Connecting …")
        self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._status is not None:
            self._status.stop()

    def show(self, text: str, frame: dict[str, Any]) -> None:
        """Show one frame of the server; what is of no interest to a person is passed over."""
        handler = getattr(self, f"_on_{frame['type']}", None)
        if handler is not None:
            handler(frame)

    def _on_ack(self, frame: dict[str, Any]) -> None:
        if "thread_id" in frame:
            self._line("dim", f"thread {frame['thread_id']}, run {frame['run_id']}")
            self._doing("Waiting for a worker …")

    def show_wait(self, wait: dict[str, Any]) -> None:
        """Show what a queued run with this `position` and `waiting_for` waits for, where that is news."""
        words = waiting_words(wait)
        if words != self._wait and (wait.get("position") or wait.get("waiting_for") == "worker"):
            self._line("yellow", f"{'':>14}  {words}")
        self._wait = words
        self._doing(f"{words} …")

    def _on_run_queued(self, frame: dict[str, Any]) -> None:
        self.show_wait(frame["data"])

    def _on_agent_thinking(self, frame: dict[str, Any]) -> None:
        self._line("", f"{frame['agent_name']:>14}  {frame['data']['text']}")
        self._doing(f"{frame['agent_name']} is thinking …")

    def _on_tool_executing(self, frame: dict[str, Any]) -> None:
        self._doing(f"{frame['agent_name']} uses {frame['data']['tool_name']} …")

    def _on_tool_completed(self, frame: dict[str, Any]) -> None:
        data = frame["data"]
        style, sign = ("green", "✓") if data["ok"] else ("red", "✗")
        self._line(style, f"{'':>14}  {sign} {data['tool_name']}, {_duration(data['duration_ms'])}")

    def _on_agent_handoff(self, frame: dict[str, Any]) -> None:
        data = frame["data"]
        self._line("cyan", f"{data['from_agent']:>14}  → {data['to_agent']}: {data['reason']}")

    def _on_run_resumed(self, frame: dict[str, Any]) -> None:
        attempt = frame["data"]["attempt"]
        self._line("yellow", f"{'':>14}  Another worker goes on with the answer (attempt {attempt})")

    def _on_message_delta(self, frame: dict[str, Any]) -> None:
        self._doing("Writing the answer …")

    def _on_quota_warning(self, frame: dict[str, Any]) -> None:
        self._line("yellow", f"{frame['used']} of {frame['limit']} {frame['resource']} are used")

    def _on_agent_completed(self, frame: dict[str, Any]) -> None:
        if self._status is not None:
            self._status.stop()
        self._line("dim", f"answered in {_duration(frame['data']['duration_ms'])}")
        self._answer.print()
        self._answer.print(Markdown(_harmless(frame["data"]["final_response"])))

    def _line(self, style: str, text: str) -> None:
        self._progress.print(Text(_harmless(text), style=style))

    def _doing(self, text: str) -> None:
        if self._status is not None:
            self._status.update(Text(_harmless(text)))


def _duration(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1_000 else f"{milliseconds / 1_000:.1f} s"


def _harmless(text: str) -> str:
    return text.translate(_CONTROLS)
