"""The states of a move, and which tables it takes along."""

from django.apps import apps

from forum_backend.domain.moves import COMMITTED, EXCLUSIVE, FINAL, RUNNING, TRANSITIONS, MoveState, may_follow
from forum_backend.services.forum_rows import FORUM_TABLES, STAYS_BEHIND
from workers.rebalance.runner import STEPS

# Tables of a shard that no move takes along, each with its reason.
OF_THE_SHARD = {
    "ownership": "what the shard is for a forum",
    "changed_row": "what changed on this shard",
    "copy_progress": "how far a mover has come on this shard",
    "relay_lease": "who relays for this shard",
    "shard_server": "which server this shard was reconciled on",
}


def test_a_forum_in_the_hands_of_its_target_never_goes_back() -> None:
    for state in COMMITTED:
        assert TRANSITIONS[state] <= COMMITTED


def test_every_state_before_the_commit_can_be_given_up() -> None:
    for state in RUNNING - COMMITTED:
        assert may_follow(state, MoveState.ABORTED)
        assert state == MoveState.PLANNED or may_follow(state, MoveState.PLANNED)


def test_the_steps_are_one_way_through_all_states() -> None:
    state, passed = MoveState.PLANNED, [MoveState.PLANNED]
    while state not in FINAL:
        step = STEPS[state]
        assert may_follow(step.begins, step.ends)
        passed.append(state := step.ends)
    assert set(passed) == set(MoveState) - {MoveState.ABORTED}
    assert RUNNING - {MoveState.DEPARTED, MoveState.REVERSIBLE} == EXCLUSIVE


def test_a_move_takes_every_table_of_a_forum_along() -> None:
    tables = {model._meta.db_table: model for model in apps.get_app_config("forums").get_models()}
    assert {table.name for table in FORUM_TABLES} == tables.keys() - OF_THE_SHARD.keys()
    for table in FORUM_TABLES:
        columns = {field.column for field in tables[table.name]._meta.local_concrete_fields}
        assert set(table.columns) == columns - STAYS_BEHIND.get(table.name, set())


def test_tables_come_after_those_they_refer_to() -> None:
    order = [table.name for table in FORUM_TABLES]
    for model in apps.get_app_config("forums").get_models():
        for field in model._meta.local_concrete_fields:
            referred = getattr(field.related_model, "_meta", None)
            table = model._meta.db_table
            if referred and referred.app_label == "forums" and referred.db_table != table:
                assert order.index(referred.db_table) < order.index(table)
