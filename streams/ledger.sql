-- Which views there are and how far each has come: in PostgreSQL, in the schema `circles`, beside the catalogs of
-- the lakes. Offsets move in the transaction of the lake's own commit.

-- name: create
CREATE SCHEMA IF NOT EXISTS circles;

-- A generation is one folding of the log: a DuckLake whose catalog is the schema of that name. One is live.
-- Its epoch counts what may have added keys that a writer does not know of.
CREATE SEQUENCE IF NOT EXISTS circles.numbers;
CREATE TABLE IF NOT EXISTS circles.generations (
    generation text PRIMARY KEY DEFAULT 'lake_' || nextval('circles.numbers'), state text NOT NULL CHECK (state IN ('building', 'live', 'retired')),
    epoch bigint NOT NULL DEFAULT 0, made_at timestamptz NOT NULL DEFAULT now());
CREATE UNIQUE INDEX IF NOT EXISTS one_generation_is_live ON circles.generations (state) WHERE state = 'live';

CREATE TABLE IF NOT EXISTS circles.offsets (
    generation text REFERENCES circles.generations ON DELETE CASCADE, topic text, partition integer,
    next_offset bigint NOT NULL, first_offset bigint NOT NULL, PRIMARY KEY (generation, topic, partition));

-- The id of each topic that a generation is folded from: one that is deleted and made anew has another. And the
-- number of its partitions, which says where a key is at home.
CREATE TABLE IF NOT EXISTS circles.topics (
    generation text REFERENCES circles.generations ON DELETE CASCADE, topic text, topic_id text NOT NULL,
    partitions integer NOT NULL, PRIMARY KEY (generation, topic));

-- Watermarks of the uploads, as they were when last asked for. Apart from the offsets, whose rows the fence compares.
CREATE TABLE IF NOT EXISTS circles.watermarks (
    generation text REFERENCES circles.generations ON DELETE CASCADE, partition integer, watermark bigint NOT NULL,
    PRIMARY KEY (generation, partition));

-- Who commits keys that another writer may be adding, too; the others let it go first, until that time at most.
CREATE TABLE IF NOT EXISTS circles.turns (
    generation text PRIMARY KEY REFERENCES circles.generations ON DELETE CASCADE, writer text NOT NULL,
    until timestamptz NOT NULL);

-- The manifest: every Parquet file that a commit made, by its path in the generation's folder. A row with
-- `swept_at` is of an orphan that was deleted: a writer that slept over it cannot commit the file any more.
CREATE TABLE IF NOT EXISTS circles.files (
    generation text REFERENCES circles.generations ON DELETE CASCADE, path text, size_bytes bigint, sha256 bytea,
    swept_at timestamptz, PRIMARY KEY (generation, path));

-- The names of the files that a generation's catalog knows: those of its tables, and those it is to delete.
CREATE OR REPLACE FUNCTION circles.catalogued(of text) RETURNS TABLE (name text) STABLE LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('
        SELECT regexp_replace(path, ''^.*/'', '''') FROM (
            SELECT path FROM %1$I.ducklake_data_file UNION ALL SELECT path FROM %1$I.ducklake_delete_file
            UNION ALL SELECT path FROM %1$I.ducklake_files_scheduled_for_deletion) AS known', of);
END $$;

-- Compare and set all of some offsets and take new files into the manifest, or fail. `said` is
-- {"epoch": n, "moves": [{topic, partition, from, to}], "files": [{path, size_bytes, sha256}]}, each of it optional.
CREATE OR REPLACE FUNCTION circles.advance(writing text, said jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    current bigint;
    moves jsonb := coalesce(said -> 'moves', '[]');
    files jsonb := coalesce(said -> 'files', '[]');
    moved integer;
BEGIN
    SELECT epoch INTO current FROM circles.generations
    WHERE generation = writing AND state <> 'retired' FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'stale writer: % is no longer written', writing;
    END IF;
    IF current <> (said ->> 'epoch')::bigint THEN
        RAISE EXCEPTION 'stale keys: it is epoch %, not %', current, said ->> 'epoch';
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
    IF EXISTS (SELECT FROM circles.files AS kept JOIN jsonb_array_elements(files) AS file ON kept.path = file ->> 'path'
               WHERE kept.generation = writing AND kept.swept_at IS NOT NULL) THEN
        RAISE EXCEPTION 'stale writer: its files were swept as orphans while it slept';
    END IF;
    INSERT INTO circles.files (generation, path, size_bytes, sha256)
    SELECT writing, file ->> 'path', (file ->> 'size_bytes')::bigint, decode(file ->> 'sha256', 'hex')
    FROM jsonb_array_elements(files) AS file;
END $$;

-- The fence. DuckLake writes a row of `ducklake_snapshot_changes` in the transaction that makes a commit visible.
-- A commit says in that row how it moves the offsets and which files it made; if that fails, so does the commit.
-- One with stray keys names the snapshot `after` which nobody may have committed, as it looked for them there.
CREATE OR REPLACE FUNCTION circles.fence() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    said jsonb := NEW.commit_extra_info;
    after bigint := said ->> 'after';
BEGIN
    IF NEW.snapshot_id <> after + 1 THEN
        RAISE EXCEPTION 'stale keys: snapshot % is there, not only %', NEW.snapshot_id - 1, after;
    END IF;
    IF after IS NOT NULL THEN
        PERFORM FROM circles.generations WHERE generation = TG_TABLE_SCHEMA FOR UPDATE;
    END IF;
    PERFORM circles.advance(TG_TABLE_SCHEMA, said);
    IF after IS NOT NULL THEN
        UPDATE circles.generations SET epoch = epoch + 1 WHERE generation = TG_TABLE_SCHEMA;
    END IF;
    NOTIFY circles;  -- with the commit; who follows the view looks at once
    RETURN NEW;
END $$;

-- name: fence
CREATE OR REPLACE TRIGGER fence BEFORE INSERT ON {generation}.ducklake_snapshot_changes FOR EACH ROW
    WHEN (NEW.commit_extra_info IS NOT NULL) EXECUTE FUNCTION circles.fence()

-- name: live
SELECT generation FROM circles.generations WHERE state = 'live'

-- name: begin
INSERT INTO circles.generations (state) VALUES (%s) RETURNING generation

-- name: stored
SELECT topic, partition, next_offset FROM circles.offsets WHERE generation = %s

-- name: first
SELECT topic, partition, first_offset FROM circles.offsets WHERE generation = %s

-- name: add
INSERT INTO circles.offsets (generation, topic, partition, next_offset, first_offset)
SELECT generation, topic, partition, at, at FROM (VALUES (%s, %s, %s, %s)) AS new (generation, topic, partition, at)
ON CONFLICT DO NOTHING

-- name: advance
SELECT circles.advance(%s, %s)

-- name: remember_topic
INSERT INTO circles.topics VALUES (%s, %s, %s, %s)
ON CONFLICT (generation, topic) DO UPDATE SET partitions = greatest(topics.partitions, excluded.partitions)

-- name: topics
SELECT topic, topic_id FROM circles.topics WHERE generation = %s

-- name: begin_epoch
UPDATE circles.generations SET epoch = epoch + 1 WHERE generation = %s

-- name: standing
SELECT epoch, topic, partitions FROM circles.generations LEFT JOIN circles.topics USING (generation)
WHERE generation = %s

-- name: take_turn
INSERT INTO circles.turns VALUES (%s, %s, clock_timestamp() + interval '2 s')
ON CONFLICT (generation) DO UPDATE SET writer = excluded.writer, until = excluded.until
WHERE turns.writer = excluded.writer OR turns.until < clock_timestamp()
RETURNING writer

-- name: end_turn
DELETE FROM circles.turns WHERE generation = %s AND writer = %s

-- name: turns
SELECT writer FROM circles.turns WHERE generation = %s AND until > clock_timestamp()

-- name: watermarks
-- How far a topic is folded, and the watermark known last.
SELECT partition, next_offset, watermark FROM circles.offsets LEFT JOIN circles.watermarks USING (generation, partition)
WHERE generation = %s AND topic = %s

-- name: raise_watermark
INSERT INTO circles.watermarks AS stored VALUES (%s, %s, %s) ON CONFLICT (generation, partition)
DO UPDATE SET watermark = EXCLUDED.watermark WHERE stored.watermark < EXCLUDED.watermark

-- name: last_commit
-- The fold's newest; where its snapshot is expired, it was before the oldest that is kept.
SELECT coalesce(max(snapshot_time) FILTER (WHERE author = 'fold'), min(snapshot_time))
FROM {generation}.ducklake_snapshot JOIN {generation}.ducklake_snapshot_changes USING (snapshot_id)
