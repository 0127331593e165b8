"""Every error has a status, and what went wrong inside stays inside."""

import json

import pytest
from django.db import OperationalError

from forum_backend.api.problems import problem_of, problem_of_exception, status_of
from forum_backend.domain import errors

EXAMPLES = {
    errors.Invalid("x", fields={"a": "b"}): 422,
    errors.InvalidId("x"): 422,
    errors.IdempotencyMismatch(): 422,
    errors.NotAuthenticated(): 401,
    errors.Forbidden(): 403,
    errors.NotFound("post", 5): 404,
    errors.AlreadyTaken("slug", "x"): 409,
    errors.Closed(): 409,
    errors.MoveRefused(): 409,
    errors.TooManyRequests(retry_after_s=7): 429,
    errors.ForumMoving(): 503,
    errors.ShardUnavailable("shard_01"): 503,
    errors.Overloaded(): 503,
    errors.ForumNotNamed(): 500,
    errors.TwoForums("forum 7 is open"): 500,
}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_statuses(error: errors.ForumError) -> None:
    answer = problem_of(error)
    assert answer.status_code == json.loads(answer.content)["status"] == EXAMPLES[error]
    assert ("Retry-After" in answer) == (EXAMPLES[error] in {429, 503})


def test_every_error_of_the_tree_has_a_status() -> None:
    def below(kind: type) -> list[type]:
        return [kind, *(deeper for child in kind.__subclasses__() for deeper in below(child))]

    for kind in below(errors.ForumError):
        assert 400 <= status_of(kind.__new__(kind)) < 600


def test_facts_are_members() -> None:
    assert json.loads(problem_of(errors.ShardUnavailable("shard_01")).content)["shard"] == "shard_01"
    assert json.loads(problem_of(errors.Invalid(fields={"a": "b"})).content)["fields"] == {"a": "b"}


def test_mistakes_of_ours_say_nothing() -> None:
    assert b"forum 7" not in problem_of(errors.TwoForums("forum 7 is open")).content
    assert problem_of_exception(KeyError("secret")) is None


def test_a_slow_database_is_a_reason_to_try_again() -> None:
    answer = problem_of_exception(OperationalError("canceling statement due to statement timeout"))
    assert answer is not None
    assert answer.status_code == 503
    assert b"canceling" not in answer.content
