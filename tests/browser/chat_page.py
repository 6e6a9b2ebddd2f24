"""The chat page as a test drives it: by what a person sees, mostly by accessible names."""

import re
import time
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

ANSWER_MS = 30_000
SIGN_IN_WINDOW_S = 90


class ChatPage:
    """One browser window, signed in or not."""

    def __init__(self, page: Page, base_url: str) -> None:
        """Drive `page` on the server at `base_url`."""
        self.page = page
        self.base_url = base_url
        self.connected = page.get_by_text("Connected", exact=True)
        self.question = page.get_by_label("Your question")
        self.attachments = page.get_by_role("list", name="Data for this question").get_by_role("listitem")
        self.threads = page.get_by_role("navigation", name="Conversations").get_by_role("link")
        self.datasets = page.locator("#datasets").get_by_role("listitem")
        self.answers = page.get_by_role("article", name="Netra’s answer")
        self.questions = page.get_by_role("article", name="You asked")

    def open(self, path: str = "/") -> None:
        """Open an address of the site."""
        self.page.goto(self.base_url + path)

    def sign_in(self, username: str) -> None:
        """Sign in to a demo account, with the keyboard, and wait for the connection.

        All tests come from one address, from which only so many may sign in within a minute.
        """
        self._try_to_sign_in(username)
        refused = self.page.get_by_role("heading", name="429 Too Many Requests")
        give_up_at = time.monotonic() + SIGN_IN_WINDOW_S
        expect(refused.or_(self.connected)).to_be_attached(timeout=15_000)
        while refused.is_visible():
            assert time.monotonic() < give_up_at, "Signing in is refused for longer than a minute."
            time.sleep(2)
            self._try_to_sign_in(username)
            expect(refused.or_(self.connected)).to_be_attached(timeout=15_000)
        self.expect_connected()

    def _try_to_sign_in(self, username: str) -> None:
        self.open()
        expect(self.page.get_by_label("User name")).to_be_focused()
        self.page.keyboard.type(username)
        self.page.keyboard.press("Tab")
        self.page.keyboard.type("netra-demo")
        self.page.keyboard.press("Enter")

    def expect_connected(self) -> None:
        """Wait for the socket."""
        expect(self.connected).to_be_attached(timeout=15_000)

    def expect_lists(self) -> None:
        """Wait until conversations and datasets have been fetched."""
        for note in ("#threads-note", "#datasets-note"):
            expect(self.page.locator(note)).not_to_have_text("Loading…")

    def upload(self, file: Path, *, assume_model: str) -> None:
        """Add a log that names no model, and say which model to assume."""
        self.page.get_by_label("Log file", exact=True).set_input_files(file)
        self.page.get_by_label("This log seems to name no model").fill(assume_model)
        self.page.keyboard.press("Enter")
        expect(self.attachments.filter(has_text="requests")).to_be_visible(timeout=ANSWER_MS)

    def ask(self, text: str) -> None:
        """Type a question and send it."""
        self.question.fill(text)
        self.question.press("Enter")

    def expect_answer(self, position: int = 0) -> Locator:
        """Wait until the answer is complete and return it."""
        article = self.answers.nth(position)
        outcome = article.locator(".answer:not(.streaming), :scope > .problem, :scope > .notice")
        expect(outcome).to_be_visible(timeout=ANSWER_MS)
        expect(outcome, "the run ended without an answer").to_have_class("answer")
        return article


def expect_nothing_of_the_account(chat: ChatPage, texts: list[str]) -> None:
    """Check that a window that was signed out shows none of `texts`, and no list of what the account has."""
    body = chat.page.locator("body")
    for text in texts:
        expect(body).not_to_contain_text(text, use_inner_text=True)
        expect(chat.page).not_to_have_title(re.compile(re.escape(text)))
    for hidden in (chat.page.locator("#threads"), chat.page.locator("#datasets"), chat.attachments):
        expect(hidden.filter(visible=True)).to_have_count(0)
    expect(chat.questions.or_(chat.answers)).to_have_count(0)
