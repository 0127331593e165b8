"""Voting: one vote a user and post; the post's points change with it, under the post's row lock."""

from datetime import datetime

from forum_backend.data.shard.models import Post, Vote
from forum_backend.domain.errors import Conflict, Invalid
from forum_backend.domain.events import PostVoted
from forum_backend.domain.ids import forum_of
from forum_backend.queries.shapes import Shape, post_shape
from forum_backend.services import outbox
from forum_backend.services.forum_write import OpenForum, forum_write
from forum_backend.services.posts import open_post


def vote(*, post_id: int, user_id: int, value: int, now: datetime) -> Shape:
    """Set a user's vote to 1, -1 or 0 (none); returns the post's shape. Again with the same value changes nothing."""
    if value not in (-1, 0, 1):
        raise Invalid("A vote is -1, 0 or 1", fields={"value": "-1, 0 or 1"})

    def write(forum: OpenForum) -> Shape:
        post = open_post(forum, post_id)
        if post.is_deleted or post.is_spam:
            raise Conflict("This post was taken away")
        delta = value - _replace(forum, post, user_id, value)
        if delta:
            post.points += delta
            post.save(using=forum.shard, update_fields=["points"])
            event = PostVoted(subject_id=post_id, author_id=post.author_id, delta=delta)
            outbox.record(forum, event, now=now)
        return post_shape(post)

    return forum_write(forum_of(post_id), write)


def _replace(forum: OpenForum, post: Post, user_id: int, value: int) -> int:
    """Put the vote in the place of the one before, and return that one's value."""
    votes = Vote.objects.using(forum.shard)
    before = votes.filter(post_id=post.pk, user_id=user_id).first()
    if before is None:
        if value:
            votes.create(forum_id=forum.forum_id, post_id=post.pk, user_id=user_id, value=value)
        return 0
    if value == 0:
        before.delete(using=forum.shard)
    elif value != before.value:
        votes.filter(pk=before.pk).update(value=value)
    was: int = before.value
    return was
