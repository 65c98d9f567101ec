-- What maintenance asks of the catalog. {generation} is the schema of a generation's lake.

-- name: inlined
-- Tables of the lake, each with a table of the catalog that may hold rows of it.
SELECT lake.table_name, kept.table_name FROM {generation}.ducklake_inlined_data_tables AS kept
JOIN {generation}.ducklake_table AS lake USING (table_id) WHERE lake.end_snapshot IS NULL

-- name: rows
SELECT count(*) FROM {generation}.{inlined}

-- name: sizes
-- Of the files that are smaller than this: by table.
SELECT table_name, array_agg(file_size_bytes) FROM {generation}.ducklake_data_file AS file
JOIN {generation}.ducklake_table AS lake USING (table_id)
WHERE file.end_snapshot IS NULL AND lake.end_snapshot IS NULL AND file_size_bytes < %s
GROUP BY table_name ORDER BY table_name

-- name: expirable
-- How many of the oldest snapshots, at most so many, are older than this, and the time of the next one.
SELECT count(*) FILTER (WHERE number <= %(most)s), min(snapshot_time) FILTER (WHERE number > %(most)s) FROM (
    SELECT snapshot_time, row_number() OVER (ORDER BY snapshot_id) AS number FROM {generation}.ducklake_snapshot
    WHERE snapshot_time < %(older_than)s
      AND snapshot_id < (SELECT max(snapshot_id) FROM {generation}.ducklake_snapshot)) AS old

-- name: orphans
-- Of some paths those that neither the manifest nor the catalog knows.
SELECT path FROM unnest(%(paths)s::text[]) AS found (path)
WHERE NOT EXISTS (SELECT FROM circles.files AS kept
                  WHERE kept.generation = %(generation)s AND kept.path = found.path AND kept.swept_at IS NULL)
  AND regexp_replace(path, '^.*/', '') NOT IN (SELECT name FROM circles.catalogued(%(generation)s))

-- name: sweep
-- Mark orphans, so that nobody can commit them any more; those that are committed at this moment stay.
INSERT INTO circles.files (generation, path, swept_at) SELECT %(generation)s, path, now() FROM unnest(%(paths)s::text[]) AS path
ON CONFLICT (generation, path) DO UPDATE SET swept_at = now() WHERE files.swept_at IS NOT NULL
RETURNING path

-- name: forget
-- Take out of the manifest what the catalog no longer knows.
DELETE FROM circles.files AS kept WHERE generation = %(generation)s AND swept_at IS NULL
  AND regexp_replace(path, '^.*/', '') NOT IN (SELECT name FROM circles.catalogued(%(generation)s))
