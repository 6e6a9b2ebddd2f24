"""What one organisation's people do stays out of another's windows."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage, expect_nothing_of_the_account
from tests.browser.conftest import OpenWindow

pytestmark = pytest.mark.browser


def test_an_outsider_sees_no_thread_dataset_or_chart(open_window: OpenWindow, small_log: Path) -> None:
    alice = open_window()
    alice.sign_in("alice")
    alice.upload(small_log, assume_model="gpt-4o")
    alice.ask("Where does our AI spend go?")
    answer = alice.expect_answer()
    chart = answer.get_by_role("img").first.get_attribute("src")
    address = alice.page.url.removeprefix(alice.base_url)
    expect(alice.threads.filter(has_text="Where does our AI spend go?").first).to_be_visible()

    carol = open_window()
    carol.sign_in("carol")
    expect(carol.page.locator("#threads-note")).to_have_text("None yet.")
    expect(carol.threads).to_have_count(0)
    expect(carol.page.locator("#datasets-note")).to_contain_text("None yet.")
    expect(carol.datasets).to_have_count(0)
    carol.open(address)
    carol.page.reload()
    expect(carol.page.get_by_role("status").filter(has_text="does not exist")).to_be_visible()
    expect(carol.questions).to_have_count(0)
    assert carol.page.request.get(f"{carol.base_url}{chart}").status == 404
    assert alice.page.request.get(f"{alice.base_url}{chart}").status == 200


def test_a_team_mate_shares_the_data_but_not_the_conversations(
    open_window: OpenWindow, small_log: Path
) -> None:
    alice = open_window()
    alice.sign_in("alice")
    alice.upload(small_log, assume_model="gpt-4o")
    alice.ask("What can you do?")
    alice.expect_answer()
    bob = open_window()
    bob.sign_in("bob")
    expect(bob.datasets.filter(has_text="small_log.csv").first).to_be_visible()
    expect(bob.threads).to_have_count(0)


def test_a_stranger_is_sent_to_sign_in(open_window: OpenWindow) -> None:
    window = open_window()
    window.open("/")
    expect(window.page.get_by_role("heading", name="Sign in")).to_be_visible()
    window.page.get_by_label("User name").fill("alice")
    window.page.get_by_label("Password").fill("wrong")
    window.page.get_by_role("button", name="Sign in").click()
    expect(window.page.get_by_role("alert")).to_be_visible()


def test_after_signing_out_the_conversations_are_gone(open_window: OpenWindow) -> None:
    window = open_window()
    window.sign_in("bob")
    other = ChatPage(window.page.context.new_page(), window.base_url)
    other.open()
    other.ask("What can you do? In two windows.")
    answer = other.expect_answer().locator(".answer").inner_text()
    window.page.get_by_role("button", name="Sign out").click()
    expect(window.page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(other.page.get_by_role("heading", name="You are no longer signed in")).to_be_visible()
    expect_nothing_of_the_account(other, ["In two windows.", answer, "bob"])
    expect(other.page.get_by_role("link", name="Sign in")).to_be_visible()
    window.open("/")
    expect(window.page.get_by_role("heading", name="Sign in")).to_be_visible()
