"""Markdown as people write it is rendered; a text that is mostly marks is shown as it was written."""

import pytest

from forum_backend.domain.text import MAX_BODY_LENGTH, MOST_BRACKETS, MOST_LINES, is_too_costly, render_markdown


@pytest.mark.parametrize(
    "mark", ["[", "![", "*", "`", "> ", "<", "&", "[[](", "*_", "~~", "\\", "a\n", "|a\n", "[a][", "\r"]
)
def test_a_flood_of_marks_is_not_parsed(mark: str) -> None:
    assert is_too_costly((mark * MAX_BODY_LENGTH)[:MAX_BODY_LENGTH])


def test_an_address_without_an_end_is_not_parsed() -> None:
    assert is_too_costly("[a](" * 10 + "a" * 3_000)


def test_what_is_not_parsed_is_shown_as_it_was_written() -> None:
    flood = "[" * (MOST_BRACKETS + 1)
    shown = render_markdown(f"*one* <b>\ntwo\n\n{flood}")
    assert shown == f"<p>*one* &lt;b&gt;<br>two</p><p>{flood}</p>"


def test_a_long_text_with_links_and_lists_is_rendered() -> None:
    lines = MOST_LINES // 10
    shown = render_markdown("- *one* of `many` [links](https://example.org/)\n" * lines)
    assert shown.count("<li>") == shown.count("<em>") == shown.count("<code>") == shown.count("<a ") == lines
