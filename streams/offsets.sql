-- How far the view has come, in PostgreSQL, beside the lake's catalog and moved in its own transaction.

-- name: create
CREATE TABLE IF NOT EXISTS lake.offsets (
    topic text, partition integer, next_offset bigint NOT NULL, PRIMARY KEY (topic, partition));

-- The id of each topic that the view is folded from: one that is deleted and made anew has another.
CREATE TABLE IF NOT EXISTS lake.topics (topic text PRIMARY KEY, topic_id text NOT NULL);

-- Compare and set all of some offsets, or fail.
CREATE OR REPLACE FUNCTION lake.advance_offsets(moves jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moved integer;
BEGIN
    UPDATE lake.offsets AS stored SET next_offset = (move ->> 'to')::bigint
    FROM jsonb_array_elements(moves) AS move
    WHERE stored.topic = move ->> 'topic' AND stored.partition = (move ->> 'partition')::integer
      AND stored.next_offset = (move ->> 'from')::bigint;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> jsonb_array_length(moves) THEN
        RAISE EXCEPTION 'stale writer: % of % offsets were moved by another',
            jsonb_array_length(moves) - moved, jsonb_array_length(moves);
    END IF;
END $$;

-- The fence. DuckLake writes a row of `ducklake_snapshot_changes` in the transaction that makes a commit
-- visible. A commit of the fold carries its moves in that row; if they fail, so does the commit.
CREATE OR REPLACE FUNCTION lake.fence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lake.advance_offsets(NEW.commit_extra_info::jsonb);
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER fence BEFORE INSERT ON lake.ducklake_snapshot_changes FOR EACH ROW
    WHEN (NEW.author = 'fold') EXECUTE FUNCTION lake.fence();

-- name: stored
SELECT topic, "partition", next_offset FROM __ducklake_metadata_lake.lake.offsets;

-- name: add
INSERT INTO lake.offsets VALUES (%s, %s, %s) ON CONFLICT DO NOTHING

-- name: remember_topic
INSERT INTO lake.topics VALUES (%s, %s) ON CONFLICT DO NOTHING

-- name: topics
SELECT topic, topic_id FROM lake.topics
