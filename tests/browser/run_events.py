"""What the database knows of a run, beside what a page shows of it."""

import time
from typing import Any

from playwright.sync_api import Locator, expect

from tests.browser.chat_page import ChatPage
from tests.servers import ServerProcess

PATIENCE_S = 30.0

TEXT_OF_ANSWER = """
async ({ final_response_html: html, recommendations }) => {
  const { renderAnswer } = await import("/static/realtime/answer.js");
  return renderAnswer({ html, recommendations }).textContent;
}
"""


def thread_of(chat: ChatPage) -> str:
    """Return the id of the conversation that a page shows, waiting for it to have one."""
    chat.page.wait_for_url("**/#/threads/*")
    return chat.page.url.rsplit("/", 1)[1]


def ended_run(server: ServerProcess, thread_id: str, *, position: int = 0) -> list[tuple[str, Any]]:
    """Return the types and data of a conversation's run, by number, waiting for the run to end."""
    give_up_at = time.monotonic() + PATIENCE_S
    with server.database() as connection:
        while True:
            rows = connection.execute(
                """SELECT type, data FROM agents_runevent WHERE run_id =
                       (SELECT id FROM agents_run WHERE thread_id = %s ORDER BY created_at LIMIT 1 OFFSET %s)
                   ORDER BY seq""",
                [thread_id, position],
            ).fetchall()
            if rows and rows[-1][0] in {"agent_completed", "run_failed", "run_cancelled"}:
                return rows
            assert time.monotonic() < give_up_at, f"the run has not ended: {[row[0] for row in rows]}"
            time.sleep(0.05)


def expect_shown(article: Locator, events: list[tuple[str, Any]]) -> None:
    """Check that the page shows an answer's work and text as the log has them: nothing lost or twice."""
    fold = article.locator(".work")
    if fold.get_attribute("open") is None:
        fold.locator("summary").first.click()
    thoughts = [data["text"] for kind, data in events if kind == "agent_thinking"]
    expect(article.locator(".thoughts p")).to_have_text(thoughts)
    tools = [data for kind, data in events if kind == "tool_executing"]
    expect(article.locator(".tool")).to_have_count(len(tools))
    expect(article.locator('.tool[data-state="done"]')).to_have_count(len(tools))
    expect(article.locator(".answer")).to_have_text(article.page.evaluate(TEXT_OF_ANSWER, events[-1][1]))
