"""Writing exports: what is written is read again as it was, in the form that other readers of the format want."""

import io
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forum_backend.domain.disqus import (
    AuthorRecord,
    CategoryRecord,
    ExportWriter,
    PostRecord,
    Record,
    ThreadRecord,
    read_export,
)

AT = datetime(2013, 10, 11, 6, 51, 33, tzinfo=UTC)
ADA = AuthorRecord(name="Ada", username="ada", is_anonymous=False)
POST = PostRecord(
    dsq_id=3, identifier="", message="<p>x</p>", created_at=AT, is_deleted=False, is_spam=False, author=ADA, thread=2
)
THREAD = ThreadRecord(
    dsq_id=2,
    forum="garden",
    identifier="",
    link="",
    title="",
    message="",
    created_at=AT,
    is_closed=False,
    is_deleted=False,
    author=ADA,
)

# What XML 1.0 can carry at all; the rest is left out by the writer.
texts = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"),
        st.sampled_from("\t\n\r ]>&<"),
    ),
    max_size=40,
)
ids = st.integers(min_value=1, max_value=2**63 - 1)
times = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0))
authors = st.builds(AuthorRecord, name=texts, username=st.none() | texts.filter(bool), is_anonymous=st.booleans())
categories = st.builds(
    CategoryRecord, dsq_id=ids, forum=st.just("garden"), title=texts, is_default=st.booleans(), line=st.just(0)
)
threads = st.builds(
    ThreadRecord,
    dsq_id=ids,
    forum=st.just("garden"),
    identifier=texts,
    category=st.none() | ids,
    link=texts,
    title=texts.map(lambda text: f"t{text}"),
    message=texts,
    created_at=times,
    is_closed=st.booleans(),
    is_deleted=st.booleans(),
    author=authors,
    line=st.just(0),
)
posts = st.builds(
    PostRecord,
    dsq_id=ids,
    identifier=texts,
    message=texts,
    created_at=times,
    is_deleted=st.booleans(),
    is_spam=st.booleans(),
    author=authors,
    thread=ids,
    parent=st.none() | ids,
    line=st.just(0),
)


def written(records: Iterable[Record]) -> bytes:
    stream = io.BytesIO()
    with ExportWriter(stream, "garden") as writer:
        for record in records:
            match record:
                case CategoryRecord():
                    writer.category(record)
                case ThreadRecord():
                    writer.thread(record)
                case PostRecord():
                    writer.post(record)
    return stream.getvalue()


@given(st.lists(categories, max_size=2), st.lists(threads, max_size=3), st.lists(posts, max_size=4))
def test_what_is_written_is_read_again(
    some: list[CategoryRecord], more: list[ThreadRecord], most: list[PostRecord]
) -> None:
    records: list[Record] = [*some, *more, *most]
    data = written(records)
    assert list(read_export(io.BytesIO(data))) == records
    assert list(read_export(io.BytesIO(data), lenient=True)) == records


def test_the_form_is_the_one_other_readers_want() -> None:
    text = written([THREAD, POST]).decode()
    assert 'xmlns:dsq="http://disqus.com/disqus-internals"' in text
    assert '<post dsq:id="3"><id></id><message><![CDATA[<p>x</p>]]></message>' in text
    assert text.count("<createdAt>2013-10-11T06:51:33Z</createdAt>") == 2
    thread = re.search("<thread dsq:id.*?</thread>", text)
    assert thread is not None
    for needed in ("<link></link>", "<title></title>", "<name>Ada</name>", "<username>ada</username>"):
        assert needed in thread[0]


def test_times_are_written_in_utc_to_the_second() -> None:
    east = AT.astimezone(timezone(timedelta(hours=9))).replace(microsecond=999_999)
    assert b"<createdAt>2013-10-11T06:51:33Z</createdAt>" in written([POST.__replace__(created_at=east)])


def test_characters_that_xml_has_not_are_left_out() -> None:
    odd = POST.__replace__(message="a\x00b\x0bc\ufffed\ud800e]\x01]>", identifier="\x1f7")
    (record,) = read_export(io.BytesIO(written([odd])))
    assert isinstance(record, PostRecord)
    assert (record.message, record.identifier) == ("abcde]]>", "7")


def test_a_thread_after_a_post_is_refused() -> None:
    with pytest.raises(ValueError, match="a thread after a post"):
        written([POST, THREAD])


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        written([POST.__replace__(created_at=AT.replace(tzinfo=None))])


def test_an_export_torn_by_an_error_is_not_taken_for_a_whole_one() -> None:
    stream = io.BytesIO()
    with pytest.raises(RuntimeError), ExportWriter(stream, "garden") as writer:  # noqa: PT012
        writer.post(POST)
        raise RuntimeError("the disk is gone")
    assert b"</disqus>" not in stream.getvalue()
