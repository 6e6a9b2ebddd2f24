"""The frames: one definition, its documentation fresh, bad frames named and not echoed."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from contexts.exceptions import InvalidRequestError, NotFoundError, QuotaExceededError
from realtime.protocol import (
    CLIENT_TYPES,
    MEANINGS,
    SERVER_FRAMES,
    TERMINAL_TYPES,
    Ack,
    CloseCode,
    ErrorFrame,
    Ping,
    SendMessage,
    close_code_of,
    encode_frame,
    parse_client_frame,
)
from realtime.protocol_docs import render_markdown, render_schema


def test_the_documentation_is_fresh() -> None:
    call_command("generate_protocol_docs", check=True)


def test_a_stale_documentation_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"protocol\.md is stale"):
        call_command("generate_protocol_docs", folder=tmp_path, check=True)
    call_command("generate_protocol_docs", folder=tmp_path, verbosity=0)
    call_command("generate_protocol_docs", folder=tmp_path, check=True)
    (tmp_path / "protocol.schema.json").write_text("{}")
    with pytest.raises(CommandError, match=r"protocol\.schema\.json is stale"):
        call_command("generate_protocol_docs", folder=tmp_path, check=True)


def test_every_frame_and_close_code_is_documented() -> None:
    page, schema = render_markdown(), json.loads(render_schema())
    served = set(schema["$defs"]["ServerFrame"]["discriminator"]["mapping"])
    assert set(schema["$defs"]["ClientFrame"]["discriminator"]["mapping"]) == CLIENT_TYPES
    assert served > TERMINAL_TYPES
    for name in served | CLIENT_TYPES:
        assert f"### `{name}`" in page
    assert set(MEANINGS) == set(CloseCode)
    # a field without a description would leave the last cell of its row empty
    assert "|  |" not in page


def test_the_schemas_references_all_lead_somewhere() -> None:
    text = render_schema()
    definitions = json.loads(text)["$defs"]
    names = {part.split('"')[0] for part in text.split("#/$defs/")[1:]}
    assert names <= set(definitions)


def test_a_frame_is_parsed() -> None:
    dataset_id = uuid4()
    frame = parse_client_frame(
        {"type": "send_message", "id": "a", "text": "Hello", "dataset_ids": [str(dataset_id)]}
    )
    assert frame == SendMessage(type="send_message", id="a", text="Hello", dataset_ids=[dataset_id])
    assert parse_client_frame({"type": "ping", "id": 0}) == Ping(type="ping", id=0)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"type": "ping"}, "id"),
        ({"type": "ping", "id": None}, "id"),
        ({"type": "ping", "id": True}, "id"),
        ({"type": "ping", "id": ""}, "id"),
        ({"type": "ping", "id": "x" * 129}, "id"),
        ({"type": "cancel_run", "id": 1, "run_id": "secret-canary"}, "run_id"),
        ({"type": "send_message", "id": 1, "text": ["secret-canary"]}, "text"),
        ({"type": "send_message", "id": 1, "text": "secret-canary" * 1_000}, "text"),
        ({"type": "resume", "id": 1, "cursors": {str(uuid4()): 0 for _ in range(101)}}, "cursors"),
        ({"type": "resume", "id": 1, "cursors": {"secret-canary": 1}}, "cursors"),
    ],
)
def test_a_wrong_field_is_named_without_its_value(data: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequestError, match=field) as refusal:
        parse_client_frame(data)
    if field != "cursors":
        assert "secret-canary" not in refusal.value.message


def test_an_error_frame_says_which_limit() -> None:
    error = QuotaExceededError("Used up.", resource="cost_usd", limit=1, resets_at=None)
    frame = json.loads(encode_frame(ErrorFrame.of(error, frame_id=3)))
    assert frame == {
        "type": "error",
        "id": 3,
        "code": "quota_exceeded",
        "message": "Used up.",
        "resource": "cost_usd",
        "limit": "1.00",
    }
    SERVER_FRAMES.validate_python(frame)


def test_an_error_without_an_id_says_null() -> None:
    text = encode_frame(ErrorFrame.of(NotFoundError("No."), frame_id=None))
    assert json.loads(text) == {"type": "error", "id": None, "code": "not_found", "message": "No."}
    assert json.loads(encode_frame(Ack(id="1"))) == {"type": "ack", "id": "1"}


def test_errors_without_a_code_of_their_own_close_with_1011() -> None:
    assert close_code_of(NotFoundError("No.")) == CloseCode.INTERNAL_ERROR
    assert Path(settings.BASE_DIR, "docs", "protocol.md").is_file()
