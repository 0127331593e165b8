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

-- The relay's way in: it waits for nobody, and leaves a forum alone as soon as its gate is closed. So a fence need not
-- wait for a round of the relay, and nothing of it has to be brought over under the fence.
CREATE OR REPLACE FUNCTION forum_try_enter(p_forum integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    own ownership%ROWTYPE;
BEGIN
    IF NOT shard_is_reconciled() OR NOT pg_try_advisory_xact_lock_shared(forum_gate_key(p_forum))
       OR NOT pg_try_advisory_xact_lock_shared(forum_lock_key(p_forum)) THEN
        RETURN false;
    END IF;
    SELECT * INTO own FROM ownership WHERE forum_id = p_forum;
    IF own.mode IS DISTINCT FROM 'owner' THEN
        RETURN false;
    END IF;
    PERFORM forum_remember(p_forum, own.capture);
    RETURN true;
END $$;
