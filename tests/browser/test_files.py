"""What the page says of files before they are sent, and how it keeps the list of them short."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenWindow

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("report.pdf", b"%PDF-1.7\n", "This is a PDF; Netra reads CSV, JSON and JSON Lines."),
        ("renamed.csv", b"%PDF-1.7\n", "This is a PDF; Netra reads CSV, JSON and JSON Lines."),
        ("usage.xlsx", b"PK\x03\x04 and more", "This is an Excel workbook;"),
        ("archive.csv", b"PK\x03\x04 and more", "This is a ZIP archive or an Office document;"),
        ("picture.csv", b"\x89PNG\r\n", "This is a picture;"),
        ("noise.json", b"tokens\0\0\1", "This is not a text file;"),
        ("wide.csv", "model,tokens\n".encode("utf-16"), "save it as UTF-8."),
    ],
)
def test_what_is_no_log_is_refused_at_once(
    open_window: OpenWindow, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    chat = open_window()
    chat.sign_in("bob")
    sent: list[str] = []
    chat.page.on("request", lambda request: sent.append(request.method))
    file = tmp_path / name
    file.write_bytes(content)
    chat.page.get_by_label("Log file", exact=True).set_input_files(file)
    expect(chat.attachments.get_by_role("alert")).to_contain_text(words)
    expect(chat.page.get_by_label("This log seems to name no model")).to_have_count(0)
    assert "POST" not in sent


def test_only_the_latest_failure_stays_with_its_cross_in_the_corner(
    open_window: OpenWindow, small_log: Path, tmp_path: Path
) -> None:
    chat = open_window(viewport={"width": 375, "height": 760})
    chat.sign_in("bob")
    chat.upload(small_log, assume_model="gpt-4o")
    for name in ("one.pdf", "two-with-quite-a-long-name-that-does-not-fit.pdf"):
        file = tmp_path / name
        file.write_bytes(b"%PDF-1.7\n")
        chat.page.get_by_label("Log file", exact=True).set_input_files(file)
        expect(chat.attachments.filter(has_text=name)).to_be_visible()
        expect(chat.attachments).to_have_count(2)
    failed = chat.attachments.filter(has=chat.page.get_by_role("alert"))
    row, cross = failed.bounding_box(), failed.get_by_role("button").bounding_box()
    assert row is not None
    assert cross is not None
    assert row["height"] > 50, "the words take more than one line"
    assert row["x"] + row["width"] - (cross["x"] + cross["width"]) < 8
    assert cross["y"] - row["y"] < 8


def test_a_log_without_a_model_may_be_uploaded_and_the_button_says_what_is_missing(
    open_window: OpenWindow, small_log: Path
) -> None:
    chat = open_window()
    chat.sign_in("bob")
    chat.page.get_by_label("Log file", exact=True).set_input_files(small_log)
    model = chat.page.get_by_label("This log seems to name no model")
    expect(model).to_have_value("")
    expect(model).to_have_attribute("placeholder", "e.g. gpt-4o")
    model.fill("gpt-4o")
    expect(chat.attachments.get_by_role("button", name="Upload", exact=True)).to_be_visible()
    model.fill("")
    chat.attachments.get_by_role("button", name="Upload without prices").click()
    expect(chat.attachments).to_contain_text("120 requests")
    expect(chat.attachments).to_contain_text("names no model")
