"""Routing: every relation in both directions, creation, deletion, stale instances, queries that name no forum."""

import pytest
from django.db import connections

from forum_backend.data.control.accounts.models import User
from forum_backend.data.control.directory.models import ForumPlacement
from forum_backend.data.profiles.models import Profile
from forum_backend.data.shard.models import Forum, Post, Thread, Vote
from forum_backend.domain.errors import ForumNotNamed, TwoForums
from forum_backend.domain.ids import forum_of
from forum_backend.services.forum_write import forum_write
from routers.directory import directory
from routers.forum_partition import ForumPartitionRouter
from tests.factories import make_forum, make_post, make_thread, make_user


@pytest.fixture
def post() -> Post:
    author = make_user()
    placement = make_forum("shard_01")
    return make_post(make_thread(placement.forum_id, author=author), author_id=author.pk)


def test_ids_route_themselves(post: Post) -> None:
    assert forum_of(post.pk) == forum_of(post.thread_id) == post.forum_id
    directory.forget(post.forum_id)
    assert Post.objects.get(pk=post.pk)._state.db == "shard_01"
    assert Post.objects.filter(id__in=[post.pk]).get() == post


def test_relations_inside_a_forum_stay_on_its_shard(post: Post) -> None:
    forum = Forum.objects.get(pk=post.forum_id)
    assert forum._state.db == post.thread.forum._state.db == "shard_01"
    assert list(forum.threads.all()) == [post.thread]
    assert list(forum.posts.all()) == list(post.thread.posts.all()) == [post]
    assert post.thread.posts.filter(body=post.body).exists()


def test_replies_and_parents(post: Post) -> None:
    reply = make_post(post.thread, parent=post)
    assert reply.parent == post
    assert list(post.replies.all()) == [reply]
    fresh = Post.objects.get(pk=reply.pk)
    assert fresh.path == [post.pk, reply.pk]


def test_an_author_and_a_profile_are_in_databases_of_their_own(post: Post) -> None:
    assert post.author._state.db == "default"
    assert post.author.profile._state.db == "profiles"
    assert post.author.profile.user == post.author
    assert isinstance(post.author, User)


def test_prefetch_over_databases(post: Post) -> None:
    posts = Post.objects.in_forum(post.forum_id).prefetch_related("author__profile", "thread__forum")
    count = Count()
    with connections["profiles"].execute_wrapper(count):
        found = list(posts)
        names = [row.author.profile.username for row in found]
    assert names == [post.author.username]
    assert count.calls == 1
    assert found[0].thread.forum.pk == post.forum_id


def test_prefetch_the_other_way(post: Post) -> None:
    make_post(post.thread)
    threads = Thread.objects.in_forum(post.forum_id).prefetch_related("posts")
    assert [len(thread.posts.all()) for thread in threads] == [2]


@pytest.mark.parametrize("model", [Forum, Thread, Post, Vote])
def test_a_query_without_a_forum_is_refused(model: type) -> None:
    for query in (model.objects.all(), model.objects.filter(pk__gt=5), model.objects.exclude(pk=5)):
        with pytest.raises(ForumNotNamed):
            list(query)


def test_a_query_over_two_forums_is_refused(post: Post) -> None:
    other = make_post(make_thread(make_forum("shard_00").forum_id))
    with pytest.raises(TwoForums):
        list(Post.objects.filter(pk__in=[post.pk, other.pk]))
    with pytest.raises(TwoForums):
        Post.objects.in_forum(post.forum_id).in_forum(other.forum_id)


def test_creation_by_manager_relation_and_instance(post: Post) -> None:
    forum = post.forum_id

    def write(_open: object) -> list[Thread]:
        fields = {"title": "t", "created_at": post.created_at, "last_post_at": post.created_at}
        saved = Thread(forum_id=forum, **fields)
        saved.save()
        return [
            Thread.objects.create(forum_id=forum, **fields),
            Thread.objects.in_forum(forum).create(**fields),
            Forum.objects.get(pk=forum).threads.create(**fields),
            *Thread.objects.bulk_create([Thread(forum_id=forum, **fields), Thread(forum_id=forum, **fields)]),
            saved,
        ]

    threads = forum_write(forum, write)
    assert {thread._state.db for thread in threads} == {"shard_01"}
    assert len({thread.pk for thread in threads}) == 6
    assert {forum_of(thread.pk) for thread in threads} == {forum}


def test_deletion_takes_what_is_below(post: Post) -> None:
    forum = post.forum_id
    reply = make_post(post.thread, parent=post)
    forum_write(forum, lambda _open: Thread.objects.get(pk=post.thread_id).delete())
    assert not Post.objects.filter(pk=post.pk).exists()
    assert not Post.objects.filter(pk=reply.pk).exists()


def test_an_evicted_directory_entry_still_lets_an_instance_read(post: Post) -> None:
    directory.clear()
    assert list(post.thread.posts.all()) == [post]


def test_routers_do_no_io(post: Post) -> None:
    router = ForumPartitionRouter()
    count = Count()
    with connections["default"].execute_wrapper(count), connections["shard_01"].execute_wrapper(count):
        assert router.db_for_read(Post, instance=post) == "shard_01"
        assert router.db_for_write(Post, instance=post) == "shard_01"
        assert router.db_for_read(Post, forum_id=post.forum_id) == "shard_01"
        assert router.db_for_read(Profile) is None
    assert count.calls == 0


def test_forums_of_one_user_lie_on_different_shards() -> None:
    owner = make_user()
    made = [make_forum(shard, owner) for shard in ("shard_00", "shard_01", "shard_02")]
    homes = [Forum.objects.get(pk=placement.forum_id)._state.db for placement in made]
    assert homes == ["shard_00", "shard_01", "shard_02"]
    assert ForumPlacement.objects.filter(owner=owner).count() == 3


def test_a_relation_from_another_forum_is_refused(post: Post) -> None:
    other = make_thread(make_forum("shard_00").forum_id)
    row = Post.objects.get(pk=post.pk)
    with pytest.raises(ValueError, match="router prevents"):
        row.thread = other


class Count:
    """Counts the statements that pass a connection."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        self.calls += 1
        return execute(sql, params, many, context)
