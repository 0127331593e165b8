-- The write fence: who may write rows of a forum here, decided under a lock and from the shard's own word.
-- SQLSTATEs: FM001 not the owner (detail: the ownership row as JSON), FM002 forum not entered, FM003 mover refused.

CREATE SEQUENCE routed_id_seq;
CREATE SEQUENCE event_position_seq;

CREATE FUNCTION forum_lock_key(p_forum integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT (1178946632::bigint << 32) | p_forum $$;

-- Writers who found the forum fenced wait on this key; its mover holds it for as long as the fence stands.
CREATE FUNCTION forum_gate_key(p_forum integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT (1178946633::bigint << 32) | p_forum $$;

CREATE FUNCTION forum_refuse(p_forum integer, p_state text, p_reason text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    own ownership%ROWTYPE;
BEGIN
    SELECT * INTO own FROM ownership WHERE forum_id = p_forum;
    RAISE EXCEPTION USING
        ERRCODE = p_state,
        MESSAGE = format('forum %s: %s', p_forum, p_reason),
        DETAIL = CASE WHEN own.forum_id IS NULL THEN '{"mode": "absent", "epoch": 0}'
                      ELSE json_build_object('mode', own.mode, 'epoch', own.epoch, 'went_to', own.went_to,
                                             'went_epoch', own.went_epoch, 'token', own.token)::text END;
END $$;

CREATE FUNCTION forum_remember(p_forum integer, p_capture boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    entered text := coalesce(current_setting('forum.entered', true), '');
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING ERRCODE = 'FM002',
            MESSAGE = 'a forum is entered under READ COMMITTED only: an older snapshot could miss a fence';
    END IF;
    IF entered = '' THEN
        entered := ',';
    END IF;
    IF position(',' || p_forum || ',' IN entered) = 0 THEN
        PERFORM set_config('forum.entered', entered || p_forum || ',', true);
    END IF;
    IF p_capture THEN
        PERFORM set_config('forum.captured', coalesce(current_setting('forum.captured', true), '') || ','
                                             || p_forum || ',', true);
    END IF;
END $$;

-- Every write transaction begins here. VOLATILE, so that the row is read with a fresh snapshot after the lock.
CREATE FUNCTION forum_enter(p_forum integer, p_epoch bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    own ownership%ROWTYPE;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(forum_lock_key(p_forum));
    SELECT * INTO own FROM ownership WHERE forum_id = p_forum;
    IF own.mode IS DISTINCT FROM 'owner' OR own.epoch <> p_epoch THEN
        PERFORM forum_refuse(p_forum, 'FM001', 'not the owner at epoch ' || p_epoch);
    END IF;
    PERFORM forum_remember(p_forum, own.capture);
END $$;

-- The relay's way in: never waits, at whatever epoch this shard owns. False: leave the forum for the next round.
CREATE FUNCTION forum_try_enter(p_forum integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    own ownership%ROWTYPE;
BEGIN
    IF NOT pg_try_advisory_xact_lock_shared(forum_lock_key(p_forum)) THEN
        RETURN false;
    END IF;
    SELECT * INTO own FROM ownership WHERE forum_id = p_forum;
    IF own.mode IS DISTINCT FROM 'owner' THEN
        RETURN false;
    END IF;
    PERFORM forum_remember(p_forum, own.capture);
    RETURN true;
END $$;

-- The mover's way in, on a shard that is not the owner: to fill an incoming forum, to clear a departed one.
CREATE FUNCTION forum_enter_as_mover(p_forum integer, p_epoch bigint, p_token bigint, p_mode text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    own ownership%ROWTYPE;
BEGIN
    PERFORM pg_advisory_xact_lock(forum_lock_key(p_forum));
    SELECT * INTO own FROM ownership WHERE forum_id = p_forum;
    IF p_mode NOT IN ('incoming', 'departed', 'aborted') OR own.mode IS DISTINCT FROM p_mode
       OR own.epoch <> p_epoch OR own.token > p_token THEN
        PERFORM forum_refuse(p_forum, 'FM003', format('not %s at epoch %s for token %s', p_mode, p_epoch, p_token));
    END IF;
    PERFORM forum_remember(p_forum, false);
END $$;

-- The only way to change an ownership row: a compare-and-set under the exclusive lock. Older tokens are refused.
-- p_from lists the modes it may have now ('absent': no row); p_from_epoch the epoch it must have (null: any lower
-- than p_epoch, for a row that is begun anew). Nothing changes hands without the lock that every writer shares.
CREATE FUNCTION forum_set_ownership(
    p_forum integer, p_from text[], p_from_epoch bigint, p_token bigint, p_mode text, p_epoch bigint,
    p_capture boolean DEFAULT false, p_went_to text DEFAULT NULL, p_went_epoch bigint DEFAULT NULL,
    p_announced boolean DEFAULT true
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    own ownership%ROWTYPE;
BEGIN
    PERFORM pg_advisory_xact_lock(forum_lock_key(p_forum));
    SELECT * INTO own FROM ownership WHERE forum_id = p_forum;
    IF NOT coalesce(own.mode, 'absent') = ANY (p_from)
       OR coalesce(own.token, 0) > p_token
       OR own.epoch <> p_from_epoch
       OR (p_from_epoch IS NULL AND own.epoch > p_epoch) THEN
        PERFORM forum_refuse(p_forum, 'FM003', format('cannot become %s at epoch %s for token %s',
                                                      p_mode, p_epoch, p_token));
    END IF;
    PERFORM set_config('forum.ownership', p_forum::text, true);
    INSERT INTO ownership (forum_id, mode, epoch, token, capture, went_to, went_epoch, is_announced, changed_at)
    VALUES (p_forum, p_mode, p_epoch, p_token, p_capture, p_went_to, p_went_epoch, p_announced, clock_timestamp())
    ON CONFLICT (forum_id) DO UPDATE SET
        mode = excluded.mode, epoch = excluded.epoch, token = excluded.token, capture = excluded.capture,
        went_to = excluded.went_to, went_epoch = excluded.went_epoch, is_announced = excluded.is_announced,
        changed_at = excluded.changed_at;
    PERFORM set_config('forum.ownership', '', true);
END $$;

-- The relay has announced an activated forum; says nothing about who owns it, so it needs no exclusive lock.
CREATE FUNCTION forum_announced(p_forum integer, p_epoch bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(forum_lock_key(p_forum));
    PERFORM set_config('forum.ownership', p_forum::text, true);
    UPDATE ownership SET is_announced = true WHERE forum_id = p_forum AND epoch = p_epoch;
    PERFORM set_config('forum.ownership', '', true);
END $$;
