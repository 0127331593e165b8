"""The demonstration data: there once, however often it is asked for."""

import json
from io import StringIO

from django.core.management import call_command

from forum_backend.queries.front_page import front_page


def made() -> dict[str, object]:
    out = StringIO()
    call_command("setup_demo", "--json", stdout=out)
    report: dict[str, object] = json.loads(out.getvalue())
    return report


def test_it_is_made_once_and_spread_over_the_shards() -> None:
    first = made()
    assert (first["users"], first["forums"], first["skipped"]) == (8, 6, [])
    assert int(str(first["posts"])) > 350
    again = made()
    assert (again["users"], again["forums"], again["posts"], again["votes"]) == (0, 0, 0, 0)
    slugs = {card.slug for card in front_page(limit=5_000).forums}
    assert {"night-sky", "reading-room", "slow-trains"} <= slugs
