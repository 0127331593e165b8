-- Each update of a post counts its version up, so that a page can be recognised as unchanged without reading its text.
-- An update that brings a version of its own (a row copied again by a move) keeps it.
CREATE FUNCTION post_count_version() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version = OLD.version THEN
        NEW.version := OLD.version + 1;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER post_version BEFORE UPDATE ON post FOR EACH ROW EXECUTE FUNCTION post_count_version();
