"""Windows on the chat page of a real server; each must stay free of errors and of other hosts."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    StorageState,
    WebSocket,
    sync_playwright,
)

from tests.browser.chat_page import ChatPage

OpenWindow = Callable[..., ChatPage]

# What a browser says by itself of an answer that the page expects and shows in words.
EXPECTED_NOISE = (
    "Failed to load resource: the server responded with a status of 4",
    "net::ERR_INTERNET_DISCONNECTED",
)


@pytest.fixture(scope="package")
def browser(browser_type_launch_args: dict[str, Any]) -> Iterator[Browser]:
    """Yield Chromium until the browser tests are over.

    Not longer: while Playwright's own event loop lives in this thread, no asynchronous test can run.
    """
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(**browser_type_launch_args)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def alices_cookies(browser: Browser, live_server_process: str) -> StorageState:
    """Return the cookies of a session of alice, for windows that need no sign-in of their own."""
    context = browser.new_context()
    ChatPage(context.new_page(), live_server_process).sign_in("alice")
    cookies = context.storage_state()
    context.close()
    return cookies


@pytest.fixture
def open_window(browser: Browser, live_server_process: str) -> Iterator[OpenWindow]:
    """Yield a function that opens a window of its own cookies; afterwards none may have misbehaved."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []
    host = urlsplit(live_server_process).netloc

    def note_console(message: ConsoleMessage) -> None:
        is_noise = any(noise in message.text for noise in EXPECTED_NOISE)
        if message.type in {"error", "warning"} and not is_noise:
            problems.append(f"console {message.type}: {message.text}")

    def note_address(request: Request | WebSocket) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc != host:
            problems.append(f"a request to another host: {request.url}")

    def open_one(**options: object) -> ChatPage:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        contexts.append(context)
        page: Page = context.new_page()
        # File choosers are intercepted from now on; begun at the key press, that may come too late.
        page.on("filechooser", lambda chooser: None)
        page.on("console", note_console)
        page.on("pageerror", lambda error: problems.append(f"an error nobody caught: {error}"))
        page.on("request", note_address)
        page.on("websocket", note_address)
        return ChatPage(page, live_server_process)

    yield open_one
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def small_log(tmp_path: Path) -> Path:
    """Return a log of 120 requests over two hours in the columns of Azure's trace; it names no model."""
    lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    lines += [
        f"2023-11-16 {18 + minute // 60}:{minute % 60:02}:00.0000000,{1000 + minute},{100 + minute}"
        for minute in range(120)
    ]
    file = tmp_path / "small_log.csv"
    file.write_text("\n".join(lines) + "\n")
    return file
