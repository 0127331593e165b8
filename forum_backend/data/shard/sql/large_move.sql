-- What a move of any size needs: the log says what was inserted, tokens are raised without a fence, and log entries are
-- forgotten only by the mover that has the forum.

-- As before, and with the kind of change: a row that was inserted since is left to the log by those who copy.
CREATE OR REPLACE FUNCTION forum_capture() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    changed bigint;
    forum integer;
BEGIN
    IF TG_OP = 'DELETE' THEN
        forum := OLD.forum_id;
        IF TG_ARGV[0] = 'routed' THEN changed := OLD.id; ELSE changed := OLD.forum_id; END IF;
    ELSE
        forum := NEW.forum_id;
        IF TG_ARGV[0] = 'routed' THEN changed := NEW.id; ELSE changed := NEW.forum_id; END IF;
    END IF;
    IF position(',' || forum || ',' IN current_setting('forum.captured', true)) > 0 THEN
        INSERT INTO changed_row (forum_id, table_name, row_id, is_insert)
        VALUES (forum, TG_TABLE_NAME, changed, TG_OP = 'INSERT');
    END IF;
    RETURN NULL;
END $$;

-- A later mover takes the forum's row over, as it is: earlier ones can do nothing here from now on. Writers are not held
-- up: the lock is the one that they share. Returns the row; refuses an older token than the one it has.
CREATE FUNCTION forum_raise_token(p_forum integer, p_token bigint) RETURNS ownership
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    own ownership%ROWTYPE;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(forum_lock_key(p_forum));
    PERFORM set_config('forum.ownership', p_forum::text, true);
    UPDATE ownership SET token = p_token WHERE forum_id = p_forum AND token <= p_token RETURNING * INTO own;
    PERFORM set_config('forum.ownership', '', true);
    IF own.forum_id IS NULL THEN
        PERFORM forum_refuse(p_forum, 'FM003', format('no row for token %s', p_token));
    END IF;
    RETURN own;
END $$;

-- The mover has applied these entries of the log on the other side: exactly these, never "up to this id", for an entry
-- with a lower id may become visible later.
CREATE FUNCTION forum_forget_changes(p_forum integer, p_token bigint, p_entries bigint[]) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    forgotten integer;
BEGIN
    PERFORM forum_raise_token(p_forum, p_token);
    DELETE FROM changed_row WHERE forum_id = p_forum AND id = ANY (p_entries);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END $$;

-- Asked before the function is called: a row that brings its path, as each row of a copy does, need not pay for the call.
DROP TRIGGER post_path ON post;
CREATE TRIGGER post_path BEFORE INSERT ON post FOR EACH ROW WHEN (NEW.path IS NULL) EXECUTE FUNCTION post_set_path();

-- Likewise the guard of inserts: what it asks first is asked without a call. It refuses as before, and gives ids.
DO $$
DECLARE
    guarded record;
BEGIN
    FOR guarded IN
        SELECT * FROM (VALUES ('forum', false), ('forum_counters', false), ('thread', true), ('post', true),
                              ('vote', true), ('outbox', true), ('forum_event', false), ('idempotency_key', true)
        ) AS tables (name, makes_id)
    LOOP
        EXECUTE format('DROP TRIGGER a_forum_guard ON %I', guarded.name);
        EXECUTE format('CREATE TRIGGER a_forum_guard BEFORE UPDATE OR DELETE ON %I FOR EACH ROW '
                       'EXECUTE FUNCTION forum_guard()', guarded.name);
        EXECUTE format('CREATE TRIGGER a_forum_guard_of_inserts BEFORE INSERT ON %I FOR EACH ROW WHEN ('
                       'position('','' || NEW.forum_id || '','' IN '
                       'coalesce(current_setting(''forum.entered'', true), '''')) = 0%s) '
                       'EXECUTE FUNCTION forum_guard(%s)',
                       guarded.name, CASE WHEN guarded.makes_id THEN ' OR NEW.id IS NULL' ELSE '' END,
                       CASE WHEN guarded.makes_id THEN '''routed''' ELSE '' END);
    END LOOP;
END $$;
