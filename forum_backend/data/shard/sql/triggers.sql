-- Guards and capture: no path into a table, not even raw SQL, passes the fence or escapes a move.

CREATE FUNCTION forum_check_entered(p_forum integer, p_table text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF position(',' || p_forum || ',' IN coalesce(current_setting('forum.entered', true), '')) = 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'FM002',
            MESSAGE = format('%s: forum %s was not entered by this transaction', p_table, p_forum),
            HINT = 'Write through forum_write, or call forum_enter(forum, epoch) first.';
    END IF;
END $$;

-- TG_ARGV[0] = 'routed': the table's id comes from the shard's sequence when an INSERT leaves it out.
CREATE FUNCTION forum_guard() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    entered text := coalesce(current_setting('forum.entered', true), '');
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF position(',' || OLD.forum_id || ',' IN entered) = 0 THEN
            PERFORM forum_check_entered(OLD.forum_id, TG_TABLE_NAME);
        END IF;
        RETURN OLD;
    END IF;
    IF position(',' || NEW.forum_id || ',' IN entered) = 0 THEN
        PERFORM forum_check_entered(NEW.forum_id, TG_TABLE_NAME);
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF NEW.forum_id <> OLD.forum_id THEN
            RAISE EXCEPTION USING ERRCODE = 'FM002',
                MESSAGE = format('%s: a row cannot change its forum', TG_TABLE_NAME);
        END IF;
    ELSIF TG_NARGS > 0 THEN  -- apart from the next line: a table without an id must not see NEW.id
        IF NEW.id IS NULL THEN
            NEW.id := (nextval('routed_id_seq') << 23) | NEW.forum_id;
        END IF;
    END IF;
    RETURN NEW;
END $$;

-- A post's place in its tree. Below the hundredth level replies stay beside each other, so a path stays indexable.
CREATE FUNCTION post_set_path() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    above post%ROWTYPE;
BEGIN
    IF NEW.path IS NULL THEN
        IF NEW.parent_id IS NULL THEN
            NEW.path := ARRAY[NEW.id];
        ELSE
            SELECT * INTO above FROM post WHERE id = NEW.parent_id;
            IF above.thread_id IS DISTINCT FROM NEW.thread_id THEN
                RAISE foreign_key_violation USING MESSAGE = 'a reply belongs to the thread of the post it answers';
            END IF;
            NEW.path := above.path[1:99] || NEW.id;
        END IF;
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION forum_capture() RETURNS trigger
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
        INSERT INTO changed_row (forum_id, table_name, row_id) VALUES (forum, TG_TABLE_NAME, changed);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION forum_refuse_truncate() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'FM002',
        MESSAGE = format('%s holds rows of many forums: TRUNCATE is refused', TG_TABLE_NAME);
END $$;

CREATE FUNCTION ownership_guard() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    forum integer := CASE WHEN TG_OP = 'DELETE' THEN OLD.forum_id ELSE NEW.forum_id END;
BEGIN
    IF coalesce(current_setting('forum.ownership', true), '') <> forum::text THEN
        RAISE EXCEPTION USING ERRCODE = 'FM002',
            MESSAGE = 'ownership changes through forum_set_ownership only';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.epoch < OLD.epoch THEN
        RAISE EXCEPTION USING ERRCODE = 'FM003', MESSAGE = format('forum %s: an epoch never shrinks', forum);
    END IF;
    RETURN NEW;
END $$;

-- Arms one table. p_key: 'routed' (its key is a routed id) or 'forum' (one row a forum).
CREATE FUNCTION forum_protect(p_table regclass, p_key text, p_makes_id boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER a_forum_guard BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW '
                   'EXECUTE FUNCTION forum_guard(%s)', p_table, CASE WHEN p_makes_id THEN '''routed''' ELSE '' END);
    EXECUTE format('CREATE TRIGGER forum_capture AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW '
                   'WHEN (coalesce(current_setting(''forum.captured'', true), '''') <> '''') '
                   'EXECUTE FUNCTION forum_capture(%L)', p_table, p_key);
    EXECUTE format('CREATE TRIGGER forum_no_truncate BEFORE TRUNCATE ON %s '
                   'EXECUTE FUNCTION forum_refuse_truncate()', p_table);
    IF p_key = 'routed' THEN
        EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I CHECK ((id & 8388607) = forum_id AND id > 8388607)',
                       p_table, p_table || '_id_routes');
    END IF;
END $$;

SELECT forum_protect('forum', 'forum', false);
SELECT forum_protect('forum_counters', 'forum', false);
SELECT forum_protect('thread', 'routed', true);
SELECT forum_protect('post', 'routed', true);
SELECT forum_protect('vote', 'routed', true);
SELECT forum_protect('outbox', 'routed', true);
SELECT forum_protect('forum_event', 'routed', false);
SELECT forum_protect('idempotency_key', 'routed', true);

CREATE TRIGGER post_path BEFORE INSERT ON post FOR EACH ROW EXECUTE FUNCTION post_set_path();
CREATE TRIGGER ownership_guard BEFORE INSERT OR UPDATE OR DELETE ON ownership
    FOR EACH ROW EXECUTE FUNCTION ownership_guard();
CREATE TRIGGER ownership_no_truncate BEFORE TRUNCATE ON ownership EXECUTE FUNCTION forum_refuse_truncate();

ALTER TABLE post ADD CONSTRAINT post_thread_in_forum CHECK ((thread_id & 8388607) = forum_id);
ALTER TABLE post ADD CONSTRAINT post_parent_in_forum CHECK ((parent_id & 8388607) = forum_id);
ALTER TABLE vote ADD CONSTRAINT vote_post_in_forum CHECK ((post_id & 8388607) = forum_id);

ALTER TABLE post ALTER COLUMN points SET DEFAULT 0;
INSERT INTO relay_lease (id, holder, token, published_position) VALUES (1, '', 0, 0);
