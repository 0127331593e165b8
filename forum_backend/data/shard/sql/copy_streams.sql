-- The way in of a copy's streams: two transactions of one mover may fill an incoming forum at the same time. The lock is
-- the shared one: who changes the ownership row takes the exclusive one, so an older mover's chunks end before that.
CREATE FUNCTION forum_enter_to_copy(p_forum integer, p_epoch bigint, p_token bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    own ownership%ROWTYPE;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(forum_lock_key(p_forum));
    IF NOT shard_is_reconciled() THEN
        PERFORM forum_refuse_promoted();
    END IF;
    SELECT * INTO own FROM ownership WHERE forum_id = p_forum;
    IF own.mode IS DISTINCT FROM 'incoming' OR own.epoch <> p_epoch OR own.token <> p_token THEN
        PERFORM forum_refuse(p_forum, 'FM003', format('not incoming at epoch %s for token %s', p_epoch, p_token));
    END IF;
    PERFORM forum_remember(p_forum, false);
END $$;
