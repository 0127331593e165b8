"""Find each post its place below its thread and parent, whatever the order of the records; pure."""

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from forum_backend.services.import_disqus.batches import SafePost
from forum_backend.services.import_disqus.report import Remark, changed, left_out

# As in the shard's own trigger: below the hundredth level replies stay beside each other.
_ANCESTORS_KEPT: Final = 99


class Place(NamedTuple):
    """A post's row: its id, its thread's id, the ids from the root of its tree to itself."""

    id: int
    thread_id: int
    path: list[int]


class PlacedPost(NamedTuple):
    """A post with the row it gets."""

    post: SafePost
    place: Place
    parent_id: int | None


@dataclass(slots=True)
class Tree:
    """`threads` and `known` say which rows the `dsq:id`s of threads and posts have; `ids` gives new ones, ascending.

    After `place`: `placed` has parents before children, `waiting` what refers to a thread or parent not seen so far.
    """

    threads: dict[int, int]
    known: dict[int, Place]
    ids: Iterator[int]
    placed: list[PlacedPost] = field(default_factory=list)
    waiting: list[SafePost] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    _held: dict[int, SafePost] = field(default_factory=dict)
    _replies: defaultdict[int, list[SafePost]] = field(default_factory=lambda: defaultdict(list))

    def place(self, posts: Sequence[SafePost], *, is_last: bool) -> None:
        """Place what can be placed. With `is_last` none waits: a post is left out or begins a tree, with a remark."""
        for post in posts:
            thread = self.threads.get(post.record.thread)
            if thread is not None:
                self._consider(post, thread)
            elif is_last:
                self.remarks.append(left_out(post.record, f"its thread {post.record.thread} is unknown"))
            else:
                self.waiting.append(post)
        for dsq_id, post in list(self._held.items()):
            if dsq_id not in self._held:
                continue  # found its place below the one before
            if is_last:
                self._begin_tree(post, f"its parent {post.record.parent} is unknown")
            else:
                self.waiting.append(post)

    def _consider(self, post: SafePost, thread: int) -> None:
        parent = post.record.parent
        if parent is None:
            self._settle(post, None)
        elif (above := self.known.get(parent)) is None:
            self._held[post.record.dsq_id] = post
            self._replies[parent].append(post)
        elif above.thread_id != thread:
            self._begin_tree(post, f"its parent {parent} is in another thread")
        else:
            self._settle(post, above)

    def _begin_tree(self, post: SafePost, reason: str) -> None:
        self.remarks.append(changed(post.record, f"{reason}: taken as a first post"))
        self._settle(post, None)

    def _settle(self, post: SafePost, above: Place | None) -> None:
        """Give the post its row, then those that were held for it theirs."""
        ready = deque([(post, above)])
        while ready:
            post, above = ready.popleft()
            row = next(self.ids)
            path = [row] if above is None else [*above.path[:_ANCESTORS_KEPT], row]
            place = Place(row, self.threads[post.record.thread], path)
            self.placed.append(PlacedPost(post, place, None if above is None else above.id))
            self.known[post.record.dsq_id] = place
            self._held.pop(post.record.dsq_id, None)
            for reply in self._replies.pop(post.record.dsq_id, ()):
                if reply.record.dsq_id in self._held:
                    ready.append((reply, self._above(reply, place)))

    def _above(self, reply: SafePost, parent: Place) -> Place | None:
        if self.threads[reply.record.thread] == parent.thread_id:
            return parent
        reason = f"its parent {reply.record.parent} is in another thread: taken as a first post"
        self.remarks.append(changed(reply.record, reason))
        return None
