"""Creating, changing and deleting forums. A forum begins in the directory and then on the shard chosen for it."""

from datetime import datetime

from django.db import IntegrityError, connections, transaction

from forum_backend.data.control.directory.models import ForumPlacement
from forum_backend.data.shard.models import Forum, ForumCounters
from forum_backend.domain.errors import AlreadyTaken, IdempotencyMismatch, Invalid, NotFound
from forum_backend.domain.events import ForumCreated, ForumDeleted, ForumUpdated
from forum_backend.domain.idempotency import checked_key, request_digest
from forum_backend.queries.forum_read import ownership_on
from forum_backend.queries.forums import SLUG
from forum_backend.queries.shapes import Shape, forum_shape
from forum_backend.services import outbox
from forum_backend.services.accounts import Account
from forum_backend.services.forum_write import OpenForum, forum_write
from forum_backend.services.permissions import refuse_unless_moderator
from forum_backend.services.placing import claim, claim_shard
from routers.directory import Location, directory
from routers.registry import registry

LENGTHS = {"name": 120, "description": 2000}


def create_forum(
    *,
    owner_id: int,
    slug: str,
    name: str,
    description: str = "",
    key: str | None = None,
    now: datetime,
    shard: str | None = None,
) -> Shape:
    """A new forum on ``shard``, or on the active shard with the least load; returns its shape.

    A creation that was cut off half way is taken up again by the same request of the same owner.
    """
    _refuse_invalid(slug, {"name": name, "description": description})
    digest = request_digest("create_forum", slug=slug, name=name, description=description)
    placement = _placement(owner_id=owner_id, slug=slug, key=checked_key(key), digest=digest, shard=shard)
    if not placement.is_ready:
        _own(placement)
    shape = forum_write(placement.forum_id, lambda forum: _create(forum, placement, name, description, now))
    if not placement.is_ready:
        ForumPlacement.objects.filter(pk=placement.pk).update(is_ready=True)
    return shape


def _refuse_invalid(slug: str | None, texts: dict[str, str]) -> None:
    problems = {}
    if slug is not None and (not SLUG.fullmatch(slug) or slug.isdigit()):
        problems["slug"] = "1 to 60 of a-z, 0-9 and hyphens between them, not only digits"
    for name, text in texts.items():
        if len(text) > LENGTHS[name] or "\x00" in text:
            problems[name] = f"at most {LENGTHS[name]} characters"
    if "name" in texts and not texts["name"].strip():
        problems["name"] = "something to call the forum by"
    if problems:
        raise Invalid("This forum cannot be kept", fields=problems)


def _placement(*, owner_id: int, slug: str, key: str | None, digest: bytes, shard: str | None) -> ForumPlacement:
    """The forum's row in the directory: the one that this request made before, or a new one."""
    return _placed_before(owner_id, slug, key, digest) or _place(owner_id, slug, key, digest, shard)


def _placed_before(owner_id: int, slug: str, key: str | None, digest: bytes) -> ForumPlacement | None:
    if key is not None:
        by_key = ForumPlacement.objects.filter(owner_id=owner_id, creation_key=key).first()
        if by_key is not None:
            if bytes(by_key.creation_digest or b"") != digest:
                raise IdempotencyMismatch
            return by_key
    by_slug = ForumPlacement.objects.filter(slug=slug).first()
    if by_slug is None:
        return None
    if by_slug.is_ready or by_slug.owner_id != owner_id or by_slug.creation_key != key:
        raise AlreadyTaken("slug", slug)
    return by_slug


def _place(owner_id: int, slug: str, key: str | None, digest: bytes, shard: str | None) -> ForumPlacement:
    chosen = claim(shard) if shard else claim_shard()
    try:
        with transaction.atomic(using="default"):
            return ForumPlacement.objects.create(
                owner_id=owner_id,
                slug=slug,
                shard_id=chosen,
                creation_key=key,
                creation_digest=digest if key else None,
            )
    except IntegrityError as error:  # another request was faster: the same one, or one for the same slug
        found = _placed_before(owner_id, slug, key, digest)
        if found is None:
            raise AlreadyTaken("slug", slug) from error
        return found


def _own(placement: ForumPlacement) -> None:
    """The shard becomes the owner, unless an attempt before this one came so far."""
    shard = registry.ensure(placement.shard_id)
    if ownership_on(shard, placement.forum_id).mode != "absent":
        return
    with transaction.atomic(using=shard), connections[shard].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(forum_lock_key(%s))", [placement.forum_id])
        cursor.execute("SELECT 1 FROM ownership WHERE forum_id = %s", [placement.forum_id])
        if cursor.fetchone() is None:
            cursor.execute("SELECT forum_set_ownership(%s, ARRAY['absent'], NULL, 0, 'owner', 1)", [placement.forum_id])
    directory.correct(placement.forum_id, Location(shard, 1))


def _create(forum: OpenForum, placement: ForumPlacement, name: str, description: str, now: datetime) -> Shape:
    rows = Forum.objects.using(forum.shard)
    row = Forum(
        id=forum.forum_id,
        slug=placement.slug,
        name=name.strip(),
        description=description,
        owner_id=placement.owner_id,
        created_at=now,
    )
    try:
        with transaction.atomic(using=forum.shard):  # a savepoint
            row.save(using=forum.shard, force_insert=True)
    except IntegrityError:  # an attempt before this one, or beside it, made it
        return forum_shape(rows.select_related("counters").get(pk=forum.forum_id))
    row.counters = ForumCounters(forum_id=forum.forum_id, last_post_at=now)
    row.counters.save(using=forum.shard, force_insert=True)
    outbox.record(forum, ForumCreated(subject_id=forum.forum_id), now=now)
    return forum_shape(row)


def update_forum(*, forum_id: int, account: Account, changes: dict[str, str], now: datetime) -> Shape:
    """Change ``name`` or ``description``; for the owner and staff."""
    if changes.keys() - LENGTHS.keys():
        raise Invalid(fields=dict.fromkeys(sorted(changes.keys() - LENGTHS.keys()), "cannot be changed"))
    _refuse_invalid(None, changes)

    def write(forum: OpenForum) -> Shape:
        row = _open_row(forum)
        refuse_unless_moderator(account, row)
        before = (row.name, row.description)
        for name, text in changes.items():
            setattr(row, name, text.strip() if name == "name" else text)
        if (row.name, row.description) != before:
            row.save(using=forum.shard, update_fields=["name", "description"])
            outbox.record(forum, ForumUpdated(subject_id=forum.forum_id), now=now)
        return forum_shape(row)

    return forum_write(forum_id, write)


def delete_forum(*, forum_id: int, account: Account, now: datetime) -> None:
    """Take the forum and all in it from view; for the owner and staff. Its slug stays taken."""

    def write(forum: OpenForum) -> None:
        row = _open_row(forum)
        refuse_unless_moderator(account, row)
        row.is_deleted = True
        row.save(using=forum.shard, update_fields=["is_deleted"])
        outbox.record(forum, ForumDeleted(subject_id=forum.forum_id), now=now)

    forum_write(forum_id, write)
    ForumPlacement.objects.filter(pk=forum_id, deleted_at=None).update(deleted_at=now)


def _open_row(forum: OpenForum) -> Forum:
    row: Forum | None = (
        Forum.objects.using(forum.shard)
        .filter(pk=forum.forum_id, is_deleted=False)
        .select_related("counters")
        .select_for_update(of=("self",))
        .first()
    )
    if row is None:
        raise NotFound("forum", forum.forum_id)
    return row
