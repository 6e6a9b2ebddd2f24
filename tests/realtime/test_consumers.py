"""The socket's consumer: opening, frames, refusals and closing."""

import pytest

from contexts.database import call_in_thread
from contexts.manager import get_context_manager
from contexts.models import ContextRecord
from realtime.managers import get_manager_registry_status
from tests.factories import Cast
from tests.realtime.sockets import OpenSocket, Socket

UNKNOWN = "0197a000-0000-7000-8000-000000000000"


async def test_a_ping_is_answered(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.alice)
    assert await socket.ask(type="ping", id=7) == {"type": "pong", "id": 7}


async def test_closing_leaves_no_context_and_no_manager(cast: Cast, open_socket: OpenSocket) -> None:
    before = len(get_context_manager())
    socket = await open_socket(cast.alice)
    other = await open_socket(cast.alice)
    assert len(get_context_manager()) == before + 2
    assert get_manager_registry_status().connections_by_user == {cast.alice.id: 2}
    await other.leave()
    assert get_manager_registry_status().connections_by_user == {cast.alice.id: 1}
    await socket.leave()
    assert get_manager_registry_status().managers == 0
    assert len(get_context_manager()) == before
    assert await call_in_thread(ContextRecord.objects.filter(closed_at=None).count) == 0


@pytest.mark.parametrize(
    "text", ["{", "[]", "1", '{"type": NaN}', "[" * 5_000, '"ping"', '{"a": "\\ud800"}', " " * 65_537]
)
async def test_what_is_no_json_object_closes_with_4400(
    cast: Cast, open_socket: OpenSocket, text: str
) -> None:
    socket = await open_socket(cast.alice)
    await socket.send_text(text)
    assert await socket.close_code() == 4400


async def test_a_binary_frame_closes_with_4400(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.alice)
    await socket.send_bytes(b"{}")
    assert await socket.close_code() == 4400


async def test_the_tenth_unknown_type_closes_with_4400(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.alice)
    for number in range(9):
        answer = await socket.ask(type="shout", id=number)
        assert (answer["type"], answer["code"]) == ("error", "invalid_request")
    await socket.send(type=["ping"])
    assert await socket.receive() == {
        "type": "error",
        "id": None,
        "code": "invalid_request",
        "message": "There is no such type of frame.",
    }
    assert await socket.close_code() == 4400


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "ping", "more": 1},
        {"type": "send_message", "text": ""},
        {"type": "send_message", "text": "   "},
        {"type": "send_message", "text": "x" * 10_001},
        {"type": "send_message", "text": "a\x00b"},
        {"type": "send_message", "text": "Hello", "thread_id": "mine"},
        {"type": "send_message", "text": "Hello", "agent": "nobody"},
        {"type": "send_message", "text": "Hello", "user_id": UNKNOWN},
        {"type": "resume", "cursors": {UNKNOWN: -1}},
        {"type": "subscribe"},
    ],
)
async def test_a_frame_that_is_wrong_is_refused(
    cast: Cast, open_socket: OpenSocket, frame: dict[str, object]
) -> None:
    socket = await open_socket(cast.alice)
    answer = await socket.ask(**frame)
    assert (answer["type"], answer["code"]) == ("error", "invalid_request")
    assert (await socket.ask(type="ping", id="2"))["type"] == "pong"


async def test_a_frame_without_a_usable_id_is_refused(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.alice)
    await socket.send(type="ping", id={"a": 1})
    answer = await socket.receive()
    assert (answer["type"], answer["id"], answer["code"]) == ("error", None, "invalid_request")


async def test_more_sockets_than_the_tier_allows_close_with_4429(cast: Cast, open_socket: OpenSocket) -> None:
    await open_socket(cast.carol)
    first = await open_socket(cast.carol)
    with pytest.raises(AssertionError, match="4429"):
        await open_socket(cast.carol)
    await first.leave()
    await open_socket(cast.carol)


async def test_an_unknown_address_is_refused_at_the_handshake(cast: Cast) -> None:
    socket = await Socket(path="/ws/other/").connect()
    assert not socket.accepted
