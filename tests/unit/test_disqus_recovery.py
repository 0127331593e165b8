"""Reading broken exports leniently: the whole records come out, the rest is reported."""

import io
from pathlib import Path

import pytest

from forum_backend.domain.disqus import MalformedExport, PostRecord, Problem, Record, ThreadRecord, read_export

SAMPLE = Path(__file__).parent.parent / "samples" / "disqus_broken.xml"
ROOT = '<disqus xmlns="http://disqus.com" xmlns:dsq="http://disqus.com/disqus-internals">'
GOOD = '<post dsq:id="6"><createdAt>2019-07-01T08:00:00Z</createdAt><thread dsq:id="1"/></post>'


def recover(text: str | bytes) -> list[Record]:
    return list(read_export(io.BytesIO(text.encode() if isinstance(text, str) else text), lenient=True))


def told(problem: Record) -> tuple[str, int | None, int]:
    assert isinstance(problem, Problem)
    return problem.kind, problem.dsq_id, problem.line


def test_the_broken_sample_gives_its_whole_records_and_a_report_of_the_rest() -> None:
    thread, whole, unquoted, unclosed, again, torn, end = recover(SAMPLE.read_bytes())
    assert isinstance(thread, ThreadRecord)
    assert isinstance(whole, PostRecord)
    assert isinstance(again, PostRecord)
    assert (thread.dsq_id, whole.dsq_id, again.dsq_id) == (20, 30, 33)
    assert whole.message == "<p>Whole, with </post> inside</p>"
    assert told(unquoted) == ("post", 31, 13)
    assert told(unclosed) == ("post", 32, 18)
    assert told(torn) == ("post", 34, 25)
    assert told(end) == ("export", None, 27)


def test_the_broken_sample_is_refused_when_read_strictly() -> None:
    with pytest.raises(MalformedExport, match="line 1, column 1"):
        list(read_export(io.BytesIO(SAMPLE.read_bytes())))


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ('<post dsq:id="5"><message>a & b</message></post>', "not well-formed"),
        ('<post dsq:id="5"><message>\x02</message></post>', "not well-formed"),
        ('<post dsq:id="5"><message>&bomb;</message></post>', "undefined entity"),
        ('<post dsq:id="5"><message>x</post>', "mismatched tag"),
        ('<post dsq:id="5"><message>', "<post> comes before its end"),
        (f'<post dsq:id="5"><message>{"x" * 6_000_000}</message></post>', "longer than"),
        ('<post dsq:id="5"><![CDATA[ x', "never ends"),
    ],
)
def test_one_broken_record_does_not_hide_the_next(broken: str, reason: str) -> None:
    problem, good = recover(f"{ROOT}\n{broken}{GOOD}</disqus>")
    assert told(problem) == ("post", 5, 2)
    assert isinstance(problem, Problem)
    assert reason in problem.reason
    assert isinstance(good, PostRecord)
    assert good.dsq_id == 6


def test_bytes_that_are_not_text_spoil_only_their_record() -> None:
    data = f"{ROOT}\n{GOOD}{GOOD}</disqus>".encode().replace(b"</createdAt>", b"\xff</createdAt>", 1)
    problem, good = recover(data)
    assert told(problem) == ("post", 6, 2)
    assert isinstance(good, PostRecord)


def test_records_without_a_root_element_are_read() -> None:
    good, end = recover(GOOD)
    assert isinstance(good, PostRecord)
    assert told(end) == ("export", None, 1)


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n" * 99, b"<rss><item/></rss>", "<disqus/>".encode("utf-16")])
def test_a_file_of_another_kind_is_refused_all_the_same(data: bytes) -> None:
    with pytest.raises(MalformedExport, match="line 1, column 1"):
        recover(data)
