"""A model named by setting, over the wire format of OpenAI's chat completions, answered by a local server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic_ai import Agent

from agents.catalog import CATALOG
from agents.llm.models import is_metered, select_model
from agents.state import DeepAgentState, TriageResult
from contexts.context import UserExecutionContext
from contexts.identifiers import new_id

REPLY = {"category": "small_talk", "reason": "A greeting.", "reply": "Hello from the wire."}


class ChatCompletions(BaseHTTPRequestHandler):
    """Answers every streamed request by calling the output tool with `REPLY`, in two pieces."""

    requests: list[dict] = []
    status = 200

    def do_POST(self):
        """Remember the request and answer it."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append(body)
        if self.status != 200:
            self.send_error(self.status)
            return
        arguments = json.dumps(REPLY)
        half = len(arguments) // 2
        name = next(tool["function"]["name"] for tool in body["tools"] if "category" in str(tool))
        call = {
            "index": 0,
            "id": "c1",
            "type": "function",
            "function": {"name": name, "arguments": arguments[:half]},
        }
        deltas = [
            {"role": "assistant", "tool_calls": [call]},
            {"tool_calls": [{"index": 0, "function": {"arguments": arguments[half:]}}]},
        ]
        chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
        usage = {"prompt_tokens": 700, "completion_tokens": 30, "total_tokens": 730}
        chunks.append({"choices": [], "usage": usage})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for chunk in chunks:
            frame = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", **chunk}
            self.wfile.write(f"data: {json.dumps(frame)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *args):
        """Print nothing."""


@pytest.fixture
def endpoint() -> Iterator[type[ChatCompletions]]:
    """Serve chat completions on a free port of this machine."""
    handler = type("Handler", (ChatCompletions,), {"requests": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    handler.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def context():
    return UserExecutionContext(
        user_id=new_id(), tenant_id=new_id(), role="member", tier="free", operation="agent.triage"
    )


async def test_a_setting_is_all_that_a_real_model_takes(settings, monkeypatch, endpoint, context):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-operator")
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    settings.NETRA_MODEL = "openai-chat:gpt-4o"
    triage = CATALOG[0]
    model = select_model(triage, context)
    assert is_metered(model)
    agent = Agent(
        model,
        deps_type=UserExecutionContext,
        output_type=triage.output_type,
        instructions=triage.instructions,
    )
    prompt = DeepAgentState(question="Hello").model_dump_json(exclude_none=True)
    async with agent.run_stream_events(prompt, deps=context) as events:
        result = [event async for event in events][-1].result
    assert result.output == TriageResult(**REPLY)
    assert (result.usage.input_tokens, result.usage.output_tokens) == (700, 30)
    sent = endpoint.requests[0]
    assert sent["model"] == "gpt-4o"
    assert sent["stream"] is True
    assert triage.instructions.strip()[:60] in json.dumps(sent["messages"])
    assert "sk-of-the-operator" not in json.dumps(sent)
