"""Reading exports strictly: what is kept, what is a problem, what is refused with its place, and in how much memory."""

import io
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forum_backend.domain.disqus import (
    AuthorRecord,
    CategoryRecord,
    MalformedExport,
    PostRecord,
    Problem,
    Record,
    ThreadRecord,
    check_export,
    read_export,
)

SAMPLE = Path(__file__).parent.parent / "samples" / "disqus_small.xml"
ROOT = '<disqus xmlns="http://disqus.com" xmlns:dsq="http://disqus.com/disqus-internals">'
AT = "<createdAt>2019-07-01T08:00:00Z</createdAt>"


def read(text: str | bytes, *, lenient: bool = False) -> list[Record]:
    data = text.encode() if isinstance(text, str) else text
    return list(read_export(io.BytesIO(data), lenient=lenient))


def read_in(body: str) -> list[Record]:
    return read(f"{ROOT}\n{body}</disqus>")


def post(*, attributes: str = 'dsq:id="5"', inner: str = f'{AT}<thread dsq:id="1"/>') -> str:
    return f"<post {attributes}>{inner}</post>"


def only(body: str) -> Record:
    (record,) = read_in(body)
    return record


@pytest.mark.parametrize("lenient", [False, True])
def test_the_sample_comes_out_whole(lenient: bool) -> None:
    april = datetime(2019, 4, 1, 8, tzinfo=UTC)
    nobody = AuthorRecord(name="", is_anonymous=True)
    assert read(SAMPLE.read_bytes(), lenient=lenient) == [
        CategoryRecord(dsq_id=10, forum="garden", title="General", is_default=True),
        ThreadRecord(
            dsq_id=20,
            forum="garden",
            identifier="tomatoes",
            category=10,
            link="https://garden.example/tomatoes?a=1&b=2",
            title="Tomatoes & beans",
            message="",
            created_at=april,
            is_closed=True,
            is_deleted=False,
            author=AuthorRecord(name="Ada", username="ada", is_anonymous=False),
        ),
        ThreadRecord(
            dsq_id=21,
            forum="garden",
            identifier="",
            link="https://garden.example/undated",
            title="",
            message="",
            created_at=april,
            is_closed=False,
            is_deleted=False,
            author=nobody,
        ),
        Problem(kind="thread", dsq_id=22, line=33, reason="a thread with neither link nor title nor id"),
        PostRecord(
            dsq_id=30,
            identifier="",
            message="<p>Ripe in July. Привет, 世界 🙂</p>",
            created_at=datetime(2019, 7, 1, 8, tzinfo=UTC),
            is_deleted=False,
            is_spam=False,
            author=AuthorRecord(name="A guest", is_anonymous=True),
            thread=20,
        ),
        PostRecord(
            dsq_id=31,
            identifier="",
            message="<p>Escaped, and ]]> split</p>",
            created_at=datetime(2019, 7, 2, 8, tzinfo=UTC),
            is_deleted=True,
            is_spam=True,
            author=nobody,
            thread=20,
            parent=30,
        ),
        Problem(kind="post", dsq_id=32, line=58, reason="no createdAt"),
    ]


@pytest.mark.parametrize("lenient", [False, True])
def test_each_record_knows_its_line(lenient: bool) -> None:
    assert [record.line for record in read(SAMPLE.read_bytes(), lenient=lenient)] == [4, 10, 28, 33, 34, 50, 58]


def test_mail_and_network_addresses_are_never_kept() -> None:
    told = repr(read(SAMPLE.read_bytes()))
    assert "garden.example/tomatoes" in told
    assert "@garden.example" not in told
    assert "192.0.2." not in told


@pytest.mark.parametrize("chunk", [1, 2, 7, 61])
def test_the_size_of_the_pieces_makes_no_difference(chunk: int) -> None:
    class Dribble(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            return super().read(chunk)

    whole = SAMPLE.read_bytes()
    for lenient in (False, True):
        assert list(read_export(Dribble(whole), lenient=lenient)) == read(whole)


def test_check_tells_how_far_it_is() -> None:
    steps: list[int] = []
    whole = SAMPLE.read_bytes()
    check_export(io.BytesIO(whole), steps.append)
    assert steps == [len(whole)]


@pytest.mark.parametrize(
    ("body", "dsq_id", "reason"),
    [
        (post(attributes='id="5"'), None, "no dsq:id"),
        (post(attributes='dsq:id="x5"'), None, "dsq:id 'x5' is not"),
        (post(attributes='dsq:id="0"'), None, "dsq:id '0' is not"),
        (post(attributes='dsq:id="9223372036854775808"'), None, "is not a positive whole number"),
        (post(attributes='dsq:id="٣"'), None, "is not a positive whole number"),
        (post(inner=AT), 5, "no reference to a thread"),
        (post(inner=f"{AT}<thread/>"), 5, "the thread reference has no dsq:id"),
        (post(inner=f'{AT}<thread dsq:id="1"/><parent dsq:id="y"/>'), 5, "the parent reference 'y' is not"),
        (post(inner='<thread dsq:id="1"/>'), 5, "no createdAt"),
        (post(inner='<createdAt>2011-x09-30</createdAt><thread dsq:id="1"/>'), 5, "createdAt '2011-x09-30' is not"),
        (post(inner='<createdAt>2011-02-30T00:00:00Z</createdAt><thread dsq:id="1"/>'), 5, "is not a time like"),
        (post(inner='<createdAt>2011-W02-3T00:00:00Z</createdAt><thread dsq:id="1"/>'), 5, "is not a time like"),
        (post(inner=f'{AT}<thread dsq:id="1"/><isSpam>123</isSpam>'), 5, "isSpam '123' is neither"),
        (post(inner=f'{AT}<thread dsq:id="1"/><message><p>x</p></message>'), 5, "message holds an element"),
        (post(inner=f'{AT}<thread dsq:id="1"/><message>{"é" * 600_000}</message>'), 5, "message is longer than"),
        (post(inner=f'{AT}<thread dsq:id="1"/><message>{"e" * 30_000_000}</message>'), 5, "message is longer than"),
        (post(inner=f'{AT}<thread dsq:id="1"/><id>{"e" * 70_000}</id>'), 5, "id is longer than"),
        ('<thread dsq:id="3"><title>x</title></thread>', 3, "no createdAt, and no earlier thread"),
        ('<vote dsq:id="3"/>', 3, "not a category, thread or post"),
    ],
)
def test_a_record_that_cannot_be_taken_is_a_problem_and_the_next_is_read(
    body: str, dsq_id: int | None, reason: str
) -> None:
    problem, good = read_in(f"{body}\n{post(attributes='dsq:id="6"')}")
    assert isinstance(problem, Problem)
    assert (problem.dsq_id, problem.line) == (dsq_id, 2)
    assert reason in problem.reason
    assert isinstance(good, PostRecord)
    assert good.dsq_id == 6


def test_another_prefix_means_the_same() -> None:
    odd = (
        '<d:disqus xmlns:d="http://disqus.com" xmlns:in="http://disqus.com/disqus-internals">'
        '<d:post in:id="5"><d:message>x</d:message><d:createdAt>2019-07-01T08:00:00Z</d:createdAt><d:thread in:id="1"/>'
        "</d:post></d:disqus>"
    )
    usual = only(post(inner=f'<message>x</message>{AT}<thread dsq:id="1"/>'))
    assert read(odd) == read(odd, lenient=True) == [usual]


def test_utf_16_is_read_too() -> None:
    text = f'<?xml version="1.0" encoding="utf-16"?>{ROOT}{post()}</disqus>'
    assert read(text.encode("utf-16")) == [only(post())]


def test_space_is_kept_inside_cdata_and_dropped_around_it() -> None:
    record = only(post(inner=f'<id> a </id><message>\n <![CDATA[ \n b ]]>\n</message>{AT}<thread dsq:id="1"/>'))
    assert isinstance(record, PostRecord)
    assert (record.identifier, record.message) == ("a", " \n b ")


@pytest.mark.parametrize(
    ("data", "line", "column", "reason"),
    [
        (b"", 1, 1, "the file is empty"),
        (b"`" + SAMPLE.read_bytes(), 1, 1, "not well-formed"),
        (SAMPLE.read_bytes()[:700], 21, 39, "the file ends too early"),
        (f"{ROOT}\n<post>".encode(), 2, 7, "the file ends too early"),
        (f"{ROOT}\n<post dsq:id=5>".encode(), 2, 14, "not well-formed"),
        (f"{ROOT}\n  </post>".encode(), 2, 5, "mismatched tag"),
        (f"{ROOT}\n  &amp;&nbsp;".encode(), 2, 8, "undefined entity"),
        (f"{ROOT}\n ab\x01".encode(), 2, 4, "not well-formed"),
        (f"{ROOT}\n ab".encode() + b"\xff\xfe", 2, 4, "not UTF-8"),
        (b'<?xml version="1.0" encoding="klingon"?>\n<disqus/>', 1, 1, "encoding 'klingon' is not supported"),
        (b'<?xml version="1.0" encoding="utf-16"?>\n<disqus/>', 1, 31, "encoding specified in XML declaration"),
        (b"\n<disqus/>", 2, 1, "'disqus', not disqus in the namespace http://disqus.com"),
        (b'<rss xmlns="http://disqus.com"/>', 1, 1, "the root element is 'http://disqus.com rss'"),
        (b"<!DOCTYPE disqus>\n" + ROOT.encode(), 1, 17, "a DOCTYPE is refused"),
        (b'<!DOCTYPE d [<!ENTITY a "aaa">]>\n' + ROOT.encode(), 1, 13, "a DOCTYPE is refused"),
        (f"{ROOT}{'<a>' * 100}".encode(), 1, len(ROOT) + 63 * 3 + 1, "nested deeper"),
        (f"{ROOT}\n<!--{'x' * 2_000_000}".encode(), 2, 1, "a tag or comment longer"),
        (f"{ROOT}\n{''.join(f'<a{n}/>' for n in range(1001))}".encode(), 2, 6884, "unknown names"),
        (f"{ROOT}</disqus>\nx".encode(), 2, 1, "junk after document element"),
    ],
)
def test_a_file_that_is_no_export_is_refused_with_its_place(data: bytes, line: int, column: int, reason: str) -> None:
    with pytest.raises(MalformedExport) as caught:
        read(data)
    assert reason in caught.value.reason
    assert (caught.value.line, caught.value.column) == (line, column)
    assert f"line {line}, column {column}" in str(caught.value)
    with pytest.raises(MalformedExport) as checked:
        check_export(io.BytesIO(data))
    assert str(checked.value) == str(caught.value)


def test_what_stands_before_an_error_is_yielded_before_it() -> None:
    records = read_export(io.BytesIO(f"{ROOT}{post()}<post".encode()))
    assert next(records) == only(post())
    with pytest.raises(MalformedExport):
        next(records)


class Generated(io.RawIOBase):
    """An export of any length that never exists as a whole."""

    def __init__(self, posts: int) -> None:
        self._pieces = self._all(posts)

    @staticmethod
    def _all(posts: int) -> Iterator[bytes]:
        yield ROOT.encode()
        for number in range(1, posts + 1):
            inner = f'<message><![CDATA[{"some words " * 30}]]></message>{AT}<thread dsq:id="1"/><odd/>'
            yield f"<!-- {number} --><post dsq:id='{number}'>{inner}</post>\n".encode()
        yield b"</disqus>"

    def read(self, _size: int = -1) -> bytes:
        return next(self._pieces, b"")


def peak_bytes(*, posts: int, lenient: bool) -> int:
    tracemalloc.start()
    try:
        counted = sum(1 for _ in read_export(Generated(posts), lenient=lenient))  # type: ignore[arg-type]
        assert counted == posts
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("lenient", [False, True])
def test_ten_times_the_posts_need_no_more_memory(lenient: bool) -> None:
    peak_bytes(posts=10, lenient=lenient)
    small, large = peak_bytes(posts=2_000, lenient=lenient), peak_bytes(posts=20_000, lenient=lenient)
    assert large < small * 1.2 + 65_536
