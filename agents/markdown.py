"""Markdown of answers as HTML that is safe to show, whatever wrote it."""

from collections.abc import Sequence
from functools import cache
from html import escape

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

CHART_PREFIX = "/api/v1/charts/"
"""Images may come from below this path only."""

_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote"),
    *("strong", "em", "s", "code", "pre", "table", "thead", "tbody", "tr", "th", "td", "a", "img"),
}
_ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title"},
    "ol": {"start"},
    "th": {"align"},
    "td": {"align"},
    "code": {"class"},
}
_ALIGNMENTS = {"left", "right", "center"}


def render_markdown(text: str) -> str:
    """Turn Markdown (CommonMark and tables) into an HTML fragment without scripts, styles or foreign images.

    Raw HTML in `text` is shown as text. Links lead to `http:` and `https:` only, and carry
    `rel="noopener noreferrer nofollow"`; images are Netra's own charts only.
    """
    return _cleaner().clean(_parser().render(text))


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.add_render_rule("th_open", _render_cell)
    parser.add_render_rule("td_open", _render_cell)
    parser.add_render_rule("image", _render_image)
    return parser


def _render_cell(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, environment: EnvType
) -> str:
    # An attribute, because a content security policy that forbids inline styles would forbid `style`, too.
    token = tokens[index]
    align = str(token.attrs.pop("style", "")).removeprefix("text-align:")
    if align:
        token.attrs["align"] = align
    return renderer.renderToken(tokens, index, options, environment)


def _render_image(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, environment: EnvType
) -> str:
    token = tokens[index]
    if not _is_chart(str(token.attrs.get("src", ""))):
        return escape(renderer.renderInlineAsText(token.children, options, environment))
    return renderer.image(tokens, index, options, environment)


@cache
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_filter_attribute,
        url_schemes={"http", "https"},
        link_rel="noopener noreferrer nofollow",
        strip_comments=True,
    )


def _is_chart(url: str) -> bool:
    name = url.removeprefix(CHART_PREFIX).removesuffix(".svg")
    return url == f"{CHART_PREFIX}{name}.svg" and name.replace("-", "").isalnum()


def _filter_attribute(tag: str, attribute: str, value: str) -> str | None:
    match tag, attribute:
        case "img", "src":
            return value if _is_chart(value) else None
        case "a", "href":
            return value if value.lower().startswith(("http://", "https://")) else None
        case (("th" | "td"), "align"):
            return value if value in _ALIGNMENTS else None
        case "code", "class":
            return value if value.removeprefix("language-").isalnum() else None
        case _:
            return value
