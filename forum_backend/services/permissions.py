"""Who may do what: authors change what they wrote, owners of a forum and staff moderate it."""

from forum_backend.data.shard.models import Forum, Post
from forum_backend.domain.errors import Forbidden
from forum_backend.services.accounts import Account


def may_moderate(account: Account, owner_id: int) -> bool:
    """Whether the account moderates a forum with this owner. Doorways show by it, services decide by it."""
    return account.is_staff or account.id == owner_id


def refuse_unless_moderator(account: Account, forum: Forum) -> None:
    if not may_moderate(account, forum.owner_id):
        raise Forbidden("Only the forum's owner and staff may do this")


def refuse_unless_author_or_moderator(account: Account, post: Post) -> None:
    if post.author_id != account.id and not may_moderate(account, post.forum.owner_id):
        raise Forbidden("Only the author, the forum's owner and staff may do this")
