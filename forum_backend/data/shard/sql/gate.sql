-- A writer that found the forum fenced waits here, in one round trip, for as long as its mover holds the gate, and is
-- told what the shard is for the forum then. The row is read by a statement of its own: with a snapshot taken after the
-- wait.
CREATE FUNCTION forum_wait_at_gate(p_forum integer, p_limit_ms integer) RETURNS SETOF ownership
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM set_config('lock_timeout', p_limit_ms || 'ms', true);
    PERFORM pg_advisory_xact_lock_shared(forum_gate_key(p_forum));
    RETURN QUERY SELECT * FROM ownership WHERE forum_id = p_forum;
END $$;
