"""The commands as operators run them: what they print, what they refuse, and that a refusal leaves nothing behind."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from forum_backend.data.control.directory.models import ForumPlacement
from tests.factories import make_forum, make_user, unique
from tests.integration.imports.exports import export, post, posts_of, thread

SAMPLES = Path(__file__).parent.parent.parent / "samples"
SMALL, BROKEN = str(SAMPLES / "disqus_small.xml"), str(SAMPLES / "disqus_broken.xml")


def run(*words: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


def test_a_new_forum_is_made_for_its_owner() -> None:
    slug, owner = unique("garden"), make_user()
    report = json.loads(run("import_disqus", SMALL, "--forum", slug, "--owner", owner.username, "--json"))
    assert (report["threads_taken"], report["posts_taken"], report["problems_count"]) == (2, 2, 2)
    assert report["problems"][0] == {
        "kind": "thread", "dsq_id": "22", "line": 33, "is_taken": False,
        "reason": "a thread with neither link nor title nor id",
    }  # fmt: skip
    placement = ForumPlacement.objects.get(slug=slug)
    assert (str(placement.pk), placement.owner_id) == (report["forum"], owner.pk)


def test_the_report_for_people_names_what_was_left_out() -> None:
    text = run("import_disqus", SMALL, "--forum", make_forum().slug)
    assert "Posts: 2 taken, 0 already there" in text
    assert "line 58, post 32: no createdAt" in text


@pytest.mark.parametrize("words", [(), ("--owner", "nobody-of-this-name")])
def test_without_forum_and_owner_nothing_is_made(words: tuple[str, ...]) -> None:
    slug = unique("garden")
    with pytest.raises(CommandError, match=r"--owner|no user"):
        run("import_disqus", SMALL, "--forum", slug, *words)
    assert not ForumPlacement.objects.filter(slug=slug).exists()


def test_a_malformed_file_leaves_nothing_behind(tmp_path: Path) -> None:
    slug, forum = unique("garden"), make_forum()
    torn = tmp_path / "torn.xml"
    torn.write_bytes(export(thread(1), *(post(n, 1) for n in range(1, 5000))).getvalue()[:-20])
    for file, place in ((BROKEN, "line 1, column 1"), (str(torn), "line 5001, column ")):
        with pytest.raises(CommandError, match=place):
            run("import_disqus", file, "--forum", slug, "--owner", make_user().username)
        with pytest.raises(CommandError, match=place):
            run("import_disqus", file, "--forum", forum.slug)
    assert not ForumPlacement.objects.filter(slug=slug).exists()
    assert posts_of(forum.pk) == []


def test_lenient_takes_what_can_be_read() -> None:
    forum = make_forum()
    assert "Posts: 2 taken" in run("import_disqus", BROKEN, "--forum", forum.slug, "--lenient")


def test_a_missing_file_is_said_so() -> None:
    with pytest.raises(CommandError, match="No such file"):
        run("import_disqus", "/nowhere/at/all.xml", "--forum", "garden")


def test_an_export_comes_back(tmp_path: Path) -> None:
    forum, copy = make_forum(), make_forum()
    run("import_disqus", SMALL, "--forum", forum.slug)
    file = tmp_path / "export.xml"
    run("export_disqus", forum.slug, output=str(file))
    run("import_disqus", str(file), "--forum", copy.slug)
    assert [row.body for row in posts_of(copy.pk)] == [row.body for row in posts_of(forum.pk)]
    assert list(tmp_path.iterdir()) == [file]


def test_an_export_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no forum"):
        run("export_disqus", "no-such-forum", output=str(tmp_path / "export.xml"))
    assert list(tmp_path.iterdir()) == []
