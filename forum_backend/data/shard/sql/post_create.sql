-- A new post as one statement, and so one transaction and one round trip: enter the forum, see whether the key was
-- used, whether the thread takes posts and the parent answers, then the row, its event and the kept answer.
-- Outcomes: created, repeated (answer as kept), mismatch, no_thread, closed, no_parent. Only `created` writes anything.
CREATE FUNCTION post_create(
    p_forum integer, p_epoch bigint, p_thread bigint, p_parent bigint, p_author bigint, p_body text, p_html text,
    p_at timestamptz, p_key text, p_digest bytea,
    OUT outcome text, OUT id bigint, OUT depth integer, OUT created_at timestamptz
)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    kept idempotency_key%ROWTYPE;
    found_thread record;
BEGIN
    PERFORM forum_enter(p_forum, p_epoch);
    IF p_key IS NOT NULL THEN
        -- Inserted first: a second request at the same time waits here until the first has committed.
        INSERT INTO idempotency_key (forum_id, user_id, key, request_digest, status, response, created_at)
        VALUES (p_forum, p_author, p_key, p_digest, 0, '{}', p_at)
        ON CONFLICT (forum_id, user_id, key) DO NOTHING RETURNING * INTO kept;
        IF kept.id IS NULL THEN
            SELECT * INTO STRICT kept FROM idempotency_key k
            WHERE k.forum_id = p_forum AND k.user_id = p_author AND k.key = p_key;
            IF kept.request_digest <> p_digest THEN
                outcome := 'mismatch';
            ELSE
                outcome := 'repeated';
                id := (kept.response ->> 'id')::bigint;
                depth := (kept.response ->> 'depth')::integer;
                created_at := kept.created_at;
            END IF;
            RETURN;
        END IF;
    END IF;

    SELECT t.is_closed INTO found_thread FROM thread t JOIN forum f ON f.forum_id = t.forum_id
    WHERE t.id = p_thread AND NOT t.is_deleted AND NOT f.is_deleted
    FOR KEY SHARE OF t;  -- who deletes the thread counts its posts first, so it waits for this one, or this one sees it
    IF NOT FOUND THEN
        outcome := 'no_thread';
    ELSIF found_thread.is_closed THEN
        outcome := 'closed';
    ELSIF p_parent IS NOT NULL AND NOT EXISTS (
        SELECT FROM post p WHERE p.id = p_parent AND p.thread_id = p_thread AND NOT p.is_deleted AND NOT p.is_spam
    ) THEN
        outcome := 'no_parent';
    END IF;
    IF outcome IS NOT NULL THEN
        DELETE FROM idempotency_key k WHERE k.id = kept.id;
        RETURN;
    END IF;

    INSERT INTO post AS new (forum_id, thread_id, parent_id, author_id, guest_name, guest_username, body, html,
                             created_at, is_deleted, is_spam, points)
    VALUES (p_forum, p_thread, p_parent, p_author, '', '', p_body, p_html, p_at, false, false, 0)
    RETURNING new.id, cardinality(new.path) - 1 INTO id, depth;
    INSERT INTO outbox (forum_id, type, subject_id, data, at)
    VALUES (p_forum, 'post.created', id, jsonb_build_object('thread_id', p_thread, 'author_id', p_author), p_at);
    IF p_key IS NOT NULL THEN
        UPDATE idempotency_key k SET status = 201, response = jsonb_build_object('id', post_create.id, 'depth', post_create.depth)
        WHERE k.id = kept.id;
    END IF;
    outcome := 'created';
    created_at := p_at;
END $$;
