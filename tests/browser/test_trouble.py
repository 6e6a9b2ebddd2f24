"""Broken connections, refused input and hostile text, as the page shows them."""

import random
from pathlib import Path

import pytest
from playwright.sync_api import WebSocketRoute, expect

from tests.browser.conftest import OpenWindow

pytestmark = pytest.mark.browser


def test_a_question_asked_offline_is_delivered_once_the_connection_is_back(open_window: OpenWindow) -> None:
    chat = open_window()
    chat.sign_in("alice")
    chat.page.context.set_offline(True)
    banner = chat.page.get_by_role("status").filter(has_text="connection is lost")
    expect(banner).to_be_visible()
    chat.ask("What can you do?")
    expect(chat.questions).to_have_count(1)
    chat.page.context.set_offline(False)
    chat.expect_connected()
    expect(banner).to_be_hidden()
    chat.expect_answer()
    expect(chat.answers).to_have_count(1)


def test_a_socket_that_was_quarantined_says_why_and_stays_closed(open_window: OpenWindow) -> None:
    chat = open_window()
    chat.sign_in("alice")
    opened = []

    def refuse(socket: WebSocketRoute) -> None:
        opened.append(socket)
        socket.close(code=4403, reason="Stopped to keep users' data apart; reload to go on.")

    chat.page.route_web_socket("**/ws/chat/", refuse)
    chat.page.reload()
    banner = chat.page.get_by_role("status").filter(has_text="Stopped to keep users' data apart")
    expect(banner).to_be_visible()
    expect(chat.page.get_by_text("Not allowed", exact=True)).to_be_attached()
    assert len(opened) == 1
    expect(banner.get_by_role("link", name="Reload")).to_have_attribute("href", "/")


def test_a_file_that_is_no_log_is_refused_in_words(open_window: OpenWindow, tmp_path: Path) -> None:
    chat = open_window()
    chat.sign_in("bob")
    noise = tmp_path / "noise.csv"
    # No NUL: the page itself would see that it is no text, and the server would not be asked.
    noise.write_bytes(b"model," + random.Random(7).randbytes(1000).replace(b"\0", b"\1"))
    chat.expect_lists()
    before = chat.datasets.count()
    chat.page.get_by_label("Log file", exact=True).set_input_files(noise)
    expect(chat.attachments.get_by_role("alert")).not_to_be_empty()
    chat.page.reload()
    chat.expect_lists()
    assert chat.datasets.count() == before


def test_an_empty_file_is_refused_in_words(open_window: OpenWindow, tmp_path: Path) -> None:
    chat = open_window()
    chat.sign_in("bob")
    empty = tmp_path / "empty.csv"
    empty.touch()
    chat.page.get_by_label("Log file", exact=True).set_input_files(empty)
    expect(chat.attachments.get_by_role("alert")).to_contain_text("empty")


def test_an_unknown_assumed_model_is_refused_in_words(open_window: OpenWindow, small_log: Path) -> None:
    chat = open_window()
    chat.sign_in("bob")
    chat.page.get_by_label("Log file", exact=True).set_input_files(small_log)
    chat.page.get_by_label("This log seems to name no model").fill("no-such-model-9")
    chat.page.keyboard.press("Enter")
    expect(chat.attachments.get_by_role("alert")).to_contain_text("no-such-model-9")


def test_a_text_that_is_too_long_cannot_be_sent(open_window: OpenWindow) -> None:
    chat = open_window()
    chat.sign_in("alice")
    send = chat.page.get_by_role("button", name="Send")
    expect(send).to_be_disabled()
    chat.question.fill("🙂" * 10_000)
    expect(send).to_be_enabled()
    chat.question.fill("x" * 10_001)
    expect(chat.page.get_by_text("10,001 of 10,000 characters")).to_be_visible()
    expect(send).to_be_disabled()
    chat.question.press("Enter")
    expect(chat.questions).to_have_count(0)


def test_a_refusal_gives_the_question_back(open_window: OpenWindow, small_log: Path) -> None:
    chat = open_window()
    chat.sign_in("alice")
    chat.upload(small_log, assume_model="gpt-4o")
    status = chat.page.evaluate(
        """async () => {
             const token = document.cookie.match(/csrftoken=(\\w+)/)[1];
             const { results } = await (await fetch("/api/v1/datasets")).json();
             const options = { method: "DELETE", headers: { "X-CSRFToken": token } };
             return (await fetch(`/api/v1/datasets/${results[0].id}`, options)).status;
           }"""
    )
    assert status == 204
    chat.ask("Where does our AI spend go?")
    expect(chat.page.locator("#composer-problem")).not_to_be_empty()
    expect(chat.question).to_have_value("Where does our AI spend go?")
    expect(chat.questions).to_have_count(0)


def test_markup_in_names_and_questions_stays_text(open_window: OpenWindow, small_log: Path) -> None:
    chat = open_window()
    chat.sign_in("alice")
    hostile = small_log.rename(small_log.with_name("<img src=x onerror=document.title='owned'>.csv"))
    chat.upload(hostile, assume_model="gpt-4o")
    chat.ask("<img src=x onerror=\"document.title='owned'\"> Where does our spend go?")
    answer = chat.expect_answer()
    expect(chat.questions).to_contain_text("<img src=x")
    assert answer.locator("img:not([src^='/api/v1/charts/'])").count() == 0
    assert chat.page.locator("img[onerror]").count() == 0
    assert chat.page.title() != "owned"


def test_a_thread_and_a_dataset_can_be_deleted(open_window: OpenWindow, small_log: Path) -> None:
    chat = open_window()
    frames: list[str] = []
    note = frames.append
    chat.page.on("websocket", lambda socket: socket.on("framereceived", lambda text: note(str(text))))
    chat.sign_in("bob")
    chat.upload(small_log.rename(small_log.with_name("to_delete.csv")), assume_model="gpt-4o")
    chat.ask("What do you do? To be deleted.")
    chat.expect_answer()
    for kind, name in (("conversation", "What do you do? To be deleted."), ("dataset", "to_delete.csv")):
        button = chat.page.get_by_role("button", name=f"Delete the {kind} {name}")
        button.focus()
        chat.page.keyboard.press("Enter")
        dialog = chat.page.get_by_role("dialog")
        dialog.get_by_role("button", name="Keep it").click()
        expect(button).to_be_attached()
        button.click()
        dialog.get_by_role("button", name="Delete").click()
        expect(button).to_have_count(0)
    for _ in range(500):
        if any('"unsubscribe-' in frame for frame in frames):
            break
        chat.page.wait_for_timeout(20)
    else:
        raise AssertionError("The page has not asked to hear no more of what it deleted.")
    expect(chat.page.locator("#banner")).to_be_hidden()
    expect(chat.page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    expect(chat.attachments).to_have_count(0)
