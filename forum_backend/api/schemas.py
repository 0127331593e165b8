"""What requests may say and what answers look like. Unknown fields are refused; text must be text PostgreSQL keeps."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict

from forum_backend.domain.text import MAX_BODY_LENGTH


def _plain(text: str) -> str:
    if "\x00" in text:
        raise ValueError("text without NUL characters")
    return text


Text = Annotated[str, AfterValidator(_plain)]
Title = Annotated[Text, Field(min_length=1, max_length=300)]
Body = Annotated[Text, Field(min_length=1, max_length=MAX_BODY_LENGTH, description="Markdown")]
Id = Annotated[str, Field(description="A number, as a string", examples=["25165826"])]
Limit = Annotated[int, Field(ge=1, le=100, description="How many items at most")]
Cursor = Annotated[str | None, Field(max_length=400, description="`next` or `previous` of another page")]


class Request(BaseModel):
    """A request's body."""

    model_config = ConfigDict(extra="forbid")


class Registration(Request):
    username: Annotated[Text, Field(min_length=1, max_length=40, examples=["ada"])]
    password: Annotated[Text, Field(min_length=1, max_length=200)]
    email: Annotated[Text, Field(max_length=254)] = ""
    display_name: Annotated[Text, Field(max_length=80)] = ""


class Credentials(Request):
    username: Annotated[Text, Field(max_length=150)]
    password: Annotated[Text, Field(max_length=200)]


class AccountChanges(Request):
    email: Annotated[Text, Field(max_length=254)] = ""


class ProfileChanges(Request):
    display_name: Annotated[Text, Field(max_length=80)] = ""
    about: Annotated[Text, Field(max_length=2000)] = ""
    avatar: Annotated[Text, Field(max_length=300, description="An http or https address, or empty")] = ""


class NewForum(Request):
    slug: Annotated[Text, Field(min_length=1, max_length=60, examples=["gardening"])]
    name: Annotated[Text, Field(min_length=1, max_length=120)]
    description: Annotated[Text, Field(max_length=2000)] = ""


class ForumChanges(Request):
    name: Annotated[Text, Field(min_length=1, max_length=120)] = ""
    description: Annotated[Text, Field(max_length=2000)] = ""


class NewThread(Request):
    title: Title
    body: Body


class ThreadChanges(Request):
    title: Title = ""
    is_closed: bool = False
    is_pinned: bool = False


class NewPost(Request):
    body: Body
    parent: Annotated[str | None, Field(max_length=20, description="The id of the post this one answers")] = None


class PostChanges(Request):
    body: Body


class NewVote(Request):
    value: Annotated[int, Strict(), Field(ge=-1, le=1)]


class Author(BaseModel):
    username: Annotated[str | None, Field(description="null for a guest of an imported forum")]
    display_name: str
    avatar: str


class Token(BaseModel):
    token: str


class Profile(BaseModel):
    username: str
    display_name: str
    about: str
    avatar: str
    joined_at: datetime
    posts_count: int
    points: int


class Me(Profile):
    id: Id
    email: str
    is_staff: bool


class Forum(BaseModel):
    id: Id
    slug: str
    name: str
    description: str
    owner: Author | None
    owner_id: Id
    created_at: datetime
    last_post_at: datetime | None
    threads_count: int
    posts_count: int
    shard: Annotated[str | None, Field(description="For staff")] = None
    epoch: Annotated[int | None, Field(description="For staff")] = None


class Thread(BaseModel):
    id: Id
    forum: Id
    title: str
    author: Author | None
    author_id: Id | None
    created_at: datetime
    last_post_at: datetime
    posts_count: int
    is_closed: bool
    is_pinned: bool
    is_deleted: bool


class Post(BaseModel):
    id: Id
    thread: Id
    forum: Id
    parent: Id | None
    author: Annotated[Author | None, Field(description="null for a post that was deleted or is spam")]
    author_id: Id | None
    body: Annotated[str, Field(description="As it was written; empty for a post that was deleted or is spam")]
    html: Annotated[str, Field(description="Safe to show")]
    created_at: datetime
    edited_at: datetime | None
    is_deleted: bool
    is_spam: bool
    points: int
    depth: int


class ThreadWithPost(Thread):
    post: Post


class Event(BaseModel):
    number: int
    type: str
    at: datetime
    data: Annotated[dict[str, Any], Field(description="The forum, thread or post as it is now")]


class Page(BaseModel):
    next: Annotated[str | None, Field(description="`cursor` of the next page")]
    previous: Annotated[str | None, Field(description="`cursor` of the page before")]


class Forums(Page):
    items: list[Forum]
    missing_shards: Annotated[list[str], Field(description="Shards that did not answer: their forums are not listed")]


class Threads(Page):
    items: list[Thread]


class Posts(Page):
    items: list[Post]


class Events(Page):
    items: list[Event]
    next: Annotated[str | None, Field(description="`after` of the next page")]


class Problem(BaseModel):
    type: str
    title: str
    status: int
    detail: str
    fields: dict[str, str] | None = None
