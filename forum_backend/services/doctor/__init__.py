"""The doctor of the fleet: finds before any copy what would stop a move, and what earlier ones left behind."""

from forum_backend.services.doctor.examination import (
    examine_fleet,
    examine_move,
    refuse_what_stops,
    refuse_what_stops_at_once,
)

__all__ = ["examine_fleet", "examine_move", "refuse_what_stops", "refuse_what_stops_at_once"]
