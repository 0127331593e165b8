"""Pure decisions and values: ids, errors, events, states. No Django, no I/O, no clock."""
