"""Posts in the usual shape take a shorter way through the reader: it has to give the same, and to fail the same."""

import io

import pytest

from forum_backend.domain.disqus import MalformedExport, PostRecord, Record, check_export, read_export

ROOT = '<disqus xmlns="http://disqus.com" xmlns:dsq="http://disqus.com/disqus-internals">\n'
FIRST = '<category dsq:id="1"><forum>garden</forum><title>x</title></category>'
USUAL = """
<post dsq:id="7"><id>wp=7</id>
  <message> <![CDATA[ <p>a] ]]>  </message>
  <createdAt>2019-07-01T08:00:00Z</createdAt><isDeleted>false</isDeleted><isSpam>true</isSpam>
  <author><email>a@garden.example</email><name> B &amp; &lt;é&gt; </name><isAnonymous>false</isAnonymous>
  <username>b</username></author><ipAddress>192.0.2.1</ipAddress><thread dsq:id="2"/><parent dsq:id="6" /></post>"""
VARIANTS = [
    USUAL,
    USUAL.replace("<username>b</username>", ""),
    USUAL.replace('<parent dsq:id="6" />', ""),
    USUAL.replace("<email>a@garden.example</email>", "<email/>").replace("<ipAddress>192.0.2.1</ipAddress>", ""),
    USUAL.replace("<id>wp=7</id>", "<id />"),
    USUAL.replace("<![CDATA[ <p>a] ]]>", "&lt;p&gt;&quot;escaped&apos;"),
    USUAL.replace("<![CDATA[ <p>a] ]]>", "<![CDATA[a]]]]><![CDATA[>b]]>"),
    USUAL.replace("<![CDATA[ <p>a] ]]>", "<![CDATA[]]>"),
    USUAL.replace("2019-07-01T08", "2019-07-41T08"),
    USUAL.replace('dsq:id="7"', 'dsq:id="99999999999999999999"'),
    USUAL.replace('dsq:id="2"', 'dsq:id="0"'),
    USUAL.replace("</post>", "<likes>3</likes></post>"),
    USUAL.replace("\n", "\r\n"),
    USUAL.replace('dsq:id="6"', 'dsq:id="06"'),
    USUAL.replace('dsq:id="6"', 'dsq:id="00"'),
    USUAL.replace("08:00:00Z", "08:00:00+02:00"),
    USUAL.replace("08:00:00Z", "08:00:00.125Z"),
    USUAL.replace("08:00:00Z", "08:00:00"),
    USUAL.replace("2019-07-01T08:00:00Z", "20190701T08:00:00.0Z"),
    USUAL.replace("<p>a]", "é" * 600_000),
    USUAL.replace("wp=7", "7" * 70_000),
    USUAL.replace("B &amp;", "B" * 70_000),
    USUAL.replace("<p>a]", "tab\tline\r\nend"),
]


def read(text: str | bytes) -> list[Record]:
    return list(read_export(io.BytesIO(text.encode() if isinstance(text, str) else text)))


def walked(text: str) -> list[Record]:
    """The same records by the long way, which a root with an unusual prefix asks for."""
    return read(text.replace("dsq:", "other:").replace("xmlns:dsq", "xmlns:other"))


@pytest.mark.parametrize("post", VARIANTS)
def test_both_ways_give_the_same_record_on_the_same_line(post: str) -> None:
    text = f"{ROOT}{FIRST}{post}{USUAL}{post}</disqus>"
    records = read(text)
    assert records == walked(text)
    assert [record.line for record in records] == [record.line for record in walked(text)]
    assert len(records) == 4


@pytest.mark.parametrize(
    "around",
    [
        "<!-- {} -->",
        "<!-- <post></post>{} -->",
        "<![CDATA[ {} ]]>",
        "<![CDATA[ </post>{} ]]>",
        "<?note </post>{} ?>",
        "<!-- --><!-- </post> {} -->",
    ],
)
def test_what_looks_like_a_post_in_a_comment_is_none(around: str) -> None:
    plain = USUAL.replace("<![CDATA[ <p>a] ]]>", "escaped")
    text = f"{ROOT}{FIRST}{around.format(plain + plain)}{USUAL}</disqus>"
    assert len(read(text)) == 2
    assert read(text) == walked(text)


def test_what_looks_like_a_post_inside_another_element_is_none() -> None:
    text = f"{ROOT}{FIRST}<list>{USUAL}{USUAL}</list>{USUAL}</disqus>"
    assert len(read(text)) == 3
    assert read(text) == walked(text)


@pytest.mark.parametrize(
    "bad", [b"<p>a\x01", b"<p>a\xff", b"<p>a\xed\xa0\x80", b"<p>a\xef\xbf\xbf"], ids=["control", "byte", "half", "none"]
)
def test_an_error_in_a_post_of_the_usual_shape_names_its_place_after_those_before_it(bad: bytes) -> None:
    data = f"{ROOT}{FIRST}{USUAL}{USUAL}".encode() + USUAL.encode().replace(b"<p>a", bad) + b"</disqus>"
    records = read_export(io.BytesIO(data))
    assert [type(next(records)) for _ in range(3)][1:] == [PostRecord, PostRecord]
    with pytest.raises(MalformedExport) as caught:
        next(records)
    assert (caught.value.line, caught.value.column) == (14, 27)
    with pytest.raises(MalformedExport) as checked:
        check_export(io.BytesIO(data))
    assert str(checked.value) == str(caught.value)


def test_other_namespaces_are_not_mistaken() -> None:
    text = f'<d:disqus xmlns:d="http://disqus.com" xmlns:dsq="http://disqus.com/disqus-internals">{USUAL}{USUAL}</d:disqus>'
    assert {getattr(record, "reason", "") for record in read(text)} == {"not a category, thread or post"}
