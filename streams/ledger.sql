-- Which views there are and how far each has come: in PostgreSQL, in the schema `circles`, beside the catalogs of
-- the lakes. Offsets move in the transaction of the lake's own commit.

-- name: create
CREATE SCHEMA IF NOT EXISTS circles;

-- A generation is one folding of the log: a DuckLake whose catalog is the schema of that name. One is live.
CREATE SEQUENCE IF NOT EXISTS circles.numbers;
CREATE TABLE IF NOT EXISTS circles.generations (
    generation text PRIMARY KEY DEFAULT 'lake_' || nextval('circles.numbers'), state text NOT NULL CHECK (state IN ('building', 'live', 'retired')),
    made_at timestamptz NOT NULL DEFAULT now());
CREATE UNIQUE INDEX IF NOT EXISTS one_generation_is_live ON circles.generations (state) WHERE state = 'live';

CREATE TABLE IF NOT EXISTS circles.offsets (
    generation text REFERENCES circles.generations ON DELETE CASCADE, topic text, partition integer,
    next_offset bigint NOT NULL, PRIMARY KEY (generation, topic, partition));

-- The id of each topic that a generation is folded from: one that is deleted and made anew has another.
CREATE TABLE IF NOT EXISTS circles.topics (
    generation text REFERENCES circles.generations ON DELETE CASCADE, topic text, topic_id text NOT NULL,
    PRIMARY KEY (generation, topic));

-- Compare and set all of some offsets, or fail.
CREATE OR REPLACE FUNCTION circles.advance(writing text, said jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moves jsonb := said -> 'moves';
    moved integer;
BEGIN
    PERFORM FROM circles.generations WHERE generation = writing AND state <> 'retired' FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'stale writer: % is no longer written', writing;
    END IF;
    UPDATE circles.offsets AS stored SET next_offset = (move ->> 'to')::bigint
    FROM jsonb_array_elements(moves) AS move
    WHERE stored.generation = writing AND stored.topic = move ->> 'topic'
      AND stored.partition = (move ->> 'partition')::integer
      AND stored.next_offset = (move ->> 'from')::bigint;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> jsonb_array_length(moves) THEN
        RAISE EXCEPTION 'stale writer: % of % offsets were moved by another',
            jsonb_array_length(moves) - moved, jsonb_array_length(moves);
    END IF;
END $$;

-- The fence. DuckLake writes a row of `ducklake_snapshot_changes` in the transaction that makes a commit
-- visible. A commit of the fold says in that row how it moves the offsets; if that fails, so does the commit.
CREATE OR REPLACE FUNCTION circles.fence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM circles.advance(TG_TABLE_SCHEMA, NEW.commit_extra_info::jsonb);
    RETURN NEW;
END $$;

-- name: fence
CREATE OR REPLACE TRIGGER fence BEFORE INSERT ON {generation}.ducklake_snapshot_changes FOR EACH ROW
    WHEN (NEW.author = 'fold') EXECUTE FUNCTION circles.fence()

-- name: live
SELECT generation FROM circles.generations WHERE state = 'live'

-- name: begin
INSERT INTO circles.generations (state) VALUES (%s) RETURNING generation

-- name: stored
SELECT topic, partition, next_offset FROM circles.offsets WHERE generation = %s

-- name: add
INSERT INTO circles.offsets VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING

-- name: advance
SELECT circles.advance(%s, %s)

-- name: remember_topic
INSERT INTO circles.topics VALUES (%s, %s, %s) ON CONFLICT DO NOTHING

-- name: topics
SELECT topic, topic_id FROM circles.topics WHERE generation = %s
