-- A standby that was promoted may have lost the last word on who owns a forum, or the fence before it. Each promotion,
-- and each restore from a backup, begins a new timeline: on another one than it knows the shard takes no writes (FM004),
-- until somebody has compared its ownership with the other shards' (forum_reconcile, shard_reconciled).

INSERT INTO shard_server (id, timeline, reconciled_at)
VALUES (1, left(pg_walfile_name(pg_current_wal_lsn()), 8), clock_timestamp());

CREATE FUNCTION shard_timeline() RETURNS text
LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END
$$;

CREATE FUNCTION shard_is_reconciled() RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    SELECT EXISTS (SELECT FROM shard_server WHERE timeline = shard_timeline())
$$;

CREATE FUNCTION forum_refuse_promoted() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'FM004',
        MESSAGE = 'this server was promoted, or restored, and its ownership not compared with the other shards since',
        HINT = 'manage.py shards reconcile SHARD';
END $$;

CREATE OR REPLACE FUNCTION forum_enter(p_forum integer, p_epoch bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    own ownership%ROWTYPE;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(forum_lock_key(p_forum));
    -- As in shard_is_reconciled, without a call.
    IF NOT EXISTS (SELECT FROM shard_server WHERE timeline = CASE WHEN pg_is_in_recovery() THEN 'standby'
                                                    ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END) THEN
        PERFORM forum_refuse_promoted();
    END IF;
    SELECT * INTO own FROM ownership WHERE forum_id = p_forum;
    IF own.mode IS DISTINCT FROM 'owner' OR own.epoch <> p_epoch THEN
        PERFORM forum_refuse(p_forum, 'FM001', 'not the owner at epoch ' || p_epoch);
    END IF;
    PERFORM forum_remember(p_forum, own.capture);
END $$;

CREATE OR REPLACE FUNCTION forum_try_enter(p_forum integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    own ownership%ROWTYPE;
BEGIN
    IF NOT shard_is_reconciled() OR NOT pg_try_advisory_xact_lock_shared(forum_lock_key(p_forum)) THEN
        RETURN false;
    END IF;
    SELECT * INTO own FROM ownership WHERE forum_id = p_forum;
    IF own.mode IS DISTINCT FROM 'owner' THEN
        RETURN false;
    END IF;
    PERFORM forum_remember(p_forum, own.capture);
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION forum_enter_as_mover(p_forum integer, p_epoch bigint, p_token bigint, p_mode text)
RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    own ownership%ROWTYPE;
BEGIN
    PERFORM pg_advisory_xact_lock(forum_lock_key(p_forum));
    IF NOT shard_is_reconciled() THEN
        PERFORM forum_refuse_promoted();
    END IF;
    SELECT * INTO own FROM ownership WHERE forum_id = p_forum;
    IF p_mode NOT IN ('incoming', 'departed', 'aborted') OR own.mode IS DISTINCT FROM p_mode
       OR own.epoch <> p_epoch OR own.token > p_token THEN
        PERFORM forum_refuse(p_forum, 'FM003', format('not %s at epoch %s for token %s', p_mode, p_epoch, p_token));
    END IF;
    PERFORM forum_remember(p_forum, false);
END $$;

-- As before, and p_announced null: as it is.
CREATE OR REPLACE FUNCTION forum_set_ownership(
    p_forum integer, p_from text[], p_from_epoch bigint, p_token bigint, p_mode text, p_epoch bigint,
    p_capture boolean DEFAULT false, p_went_to text DEFAULT NULL, p_went_epoch bigint DEFAULT NULL,
    p_announced boolean DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    own ownership%ROWTYPE;
BEGIN
    PERFORM pg_advisory_xact_lock(forum_lock_key(p_forum));
    IF NOT shard_is_reconciled() THEN
        PERFORM forum_refuse_promoted();
    END IF;
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
    VALUES (p_forum, p_mode, p_epoch, p_token, p_capture, p_went_to, p_went_epoch,
            coalesce(p_announced, own.is_announced, true), clock_timestamp())
    ON CONFLICT (forum_id) DO UPDATE SET
        mode = excluded.mode, epoch = excluded.epoch, token = excluded.token, capture = excluded.capture,
        went_to = excluded.went_to, went_epoch = excluded.went_epoch, is_announced = excluded.is_announced,
        changed_at = excluded.changed_at;
    PERFORM set_config('forum.ownership', '', true);
END $$;

CREATE OR REPLACE FUNCTION forum_raise_token(p_forum integer, p_token bigint) RETURNS ownership
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    own ownership%ROWTYPE;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(forum_lock_key(p_forum));
    IF NOT shard_is_reconciled() THEN
        PERFORM forum_refuse_promoted();
    END IF;
    PERFORM set_config('forum.ownership', p_forum::text, true);
    UPDATE ownership SET token = p_token WHERE forum_id = p_forum AND token <= p_token RETURNING * INTO own;
    PERFORM set_config('forum.ownership', '', true);
    IF own.forum_id IS NULL THEN
        PERFORM forum_refuse(p_forum, 'FM003', format('no row for token %s', p_token));
    END IF;
    RETURN own;
END $$;

-- The word of the other shards on a forum, written on a promoted server while it takes no writes. Epochs never shrink.
CREATE FUNCTION forum_reconcile(
    p_forum integer, p_token bigint, p_mode text, p_epoch bigint, p_went_to text, p_went_epoch bigint
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(forum_lock_key(p_forum));
    IF shard_is_reconciled() THEN
        PERFORM forum_refuse(p_forum, 'FM003', 'this shard is reconciled: ownership changes by moves only');
    END IF;
    PERFORM set_config('forum.ownership', p_forum::text, true);
    INSERT INTO ownership AS own (forum_id, mode, epoch, token, capture, went_to, went_epoch, is_announced, changed_at)
    VALUES (p_forum, p_mode, p_epoch, p_token, false, p_went_to, p_went_epoch, p_mode <> 'owner', clock_timestamp())
    ON CONFLICT (forum_id) DO UPDATE SET
        mode = excluded.mode, epoch = greatest(own.epoch, excluded.epoch), token = greatest(own.token, excluded.token),
        capture = false, went_to = excluded.went_to, went_epoch = excluded.went_epoch,
        is_announced = excluded.is_announced, changed_at = excluded.changed_at;
    PERFORM set_config('forum.ownership', '', true);
    DELETE FROM changed_row WHERE forum_id = p_forum;
    DELETE FROM copy_progress WHERE forum_id = p_forum;
END $$;

-- All forums were looked at: the shard takes writes again, unless it was promoted once more meanwhile.
CREATE FUNCTION shard_reconciled(p_timeline text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE shard_server SET timeline = p_timeline, reconciled_at = clock_timestamp();
END $$;
