-- Which views there are, which one is live, and what each holds. In PostgreSQL; {generation} is the schema that is
-- the catalog of a generation's lake.

-- name: listed
SELECT generation, state, made_at FROM circles.generations ORDER BY made_at, generation

-- name: hold
-- One process builds at a time; the lock ends with its connection, however that ends.
SELECT pg_try_advisory_lock(hashtext('circles.building'))

-- name: let_go
SELECT pg_advisory_unlock(hashtext('circles.building'))

-- name: rows
-- The lake has no count of a table that never had a row.
SELECT table_name, coalesce(record_count, 0)
FROM {generation}.ducklake_table LEFT JOIN {generation}.ducklake_table_stats USING (table_id)
WHERE end_snapshot IS NULL ORDER BY table_id

-- name: bytes
SELECT coalesce(sum(file_size_bytes), 0)::bigint FROM {generation}.ducklake_data_file

-- name: snapshot
SELECT max(snapshot_id) FROM {generation}.ducklake_snapshot

-- name: state
UPDATE circles.generations SET state = %s WHERE generation = %s AND state = %s RETURNING generation

-- name: hold_live
-- Commits take this row FOR SHARE: those under way are waited for, and the next ones wait.
SELECT generation FROM circles.generations WHERE generation = %s AND state = 'live' FOR NO KEY UPDATE

-- name: drop_lake
DROP SCHEMA IF EXISTS {generation} CASCADE

-- name: forget
DELETE FROM circles.generations WHERE generation = %s
