"""Markdown of answers as safe HTML."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.markdown import render_markdown


def test_tables_lists_and_code_are_rendered() -> None:
    html = render_markdown("| a | b |\n| :--- | ---: |\n| x | **1** |\n\n1. one\n\n```sql\nselect '<'\n```")
    assert '<td align="right"><strong>1</strong></td>' in html
    assert "<li>one</li>" in html
    assert "<code class=\"language-sql\">select '&lt;'" in html


def test_a_chart_is_shown() -> None:
    html = render_markdown('![Cost "now"](/api/v1/charts/0199-ab.svg)')
    assert html == '<p><img src="/api/v1/charts/0199-ab.svg" alt="Cost &quot;now&quot;"></p>\n'


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/x.svg",
        "//evil.example/api/v1/charts/1.svg",
        "/api/v1/charts/../../logout.svg",
        "/api/v1/charts/1.svg?x=1",
        "/api/v1/charts/",
        "/api/v1/me",
        "data:image/svg+xml;base64,AA",
    ],
)
def test_no_other_image_is_loaded(address: str) -> None:
    assert "<img" not in render_markdown(f"![alt]({address})")


def test_links_lead_to_the_web_only_and_tell_it_nothing() -> None:
    assert render_markdown("[a](https://example.org)") == (
        '<p><a href="https://example.org" rel="noopener noreferrer nofollow">a</a></p>\n'
    )
    for address in (
        "javascript:alert(1)",
        "/admin/",
        "mailto:a@example.org",
        "data:text/html,x",
        "vbscript:x",
    ):
        assert "href" not in render_markdown(f"[a]({address})")


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<b style=position:fixed>x</b>",
        "<iframe src=https://evil.example></iframe>",
        "<svg onload=alert(1)>",
    ],
)
def test_raw_html_is_shown_as_text(attack: str) -> None:
    shown = attack.replace("<", "&lt;").replace(">", "&gt;")
    assert render_markdown(f"before {attack} after") == f"<p>before {shown} after</p>\n"


@given(st.text(st.sampled_from("<>!|-[]()*`&;:/\"' \naijs1svgcriptonl="), max_size=200))
def test_whatever_is_rendered_holds_only_known_elements_and_attributes(text: str) -> None:
    allowed = set("p br hr h1 h2 h3 h4 h5 h6 ul ol li blockquote strong em s code pre".split())
    tables = {"table", "thead", "tbody", "tr", "th", "td", "a", "img"}
    for tag, attributes in re.findall(r"<([^\s/>]+)([^>]*)>", render_markdown(text)):
        assert tag in allowed | tables
        names = set(re.findall(r'([^\s=]+)="[^"]*"', attributes))
        assert names <= {"href", "rel", "title", "src", "alt", "align", "start", "class"}
