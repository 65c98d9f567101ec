-- What a query in SQL is given of the catalog, in one transaction. {generation} is the schema of a lake, {at} one of its
-- snapshots.

-- name: newest
SELECT max(snapshot_id) FROM {generation}.ducklake_snapshot

-- name: kept
SELECT 1 FROM {generation}.ducklake_snapshot WHERE snapshot_id = {at}

-- name: files
-- Every file of a snapshot, by table; and whether it has rows of later snapshots, as a merged file may.
SELECT table_name, schema.path || lake.path || file.path, coalesce(partial_max, 0) > {at}
FROM {generation}.ducklake_data_file AS file
JOIN {generation}.ducklake_table AS lake USING (table_id)
JOIN {generation}.ducklake_schema AS schema USING (schema_id)
WHERE file.begin_snapshot <= {at} AND coalesce(file.end_snapshot, {at} + 1) > {at}
ORDER BY data_file_id

-- name: deleted
-- Nothing deletes rows of a view; who did so by hand has files that say which.
SELECT 1 FROM {generation}.ducklake_delete_file
WHERE begin_snapshot <= {at} AND coalesce(end_snapshot, {at} + 1) > {at} LIMIT 1

-- name: tables_of_rows
-- Where rows are that are kept in the catalog: small commits' (streams/lake.py).
SELECT lake.table_name, kept.table_name
FROM {generation}.ducklake_inlined_data_tables AS kept
JOIN {generation}.ducklake_table AS lake USING (table_id)

-- name: rows
SELECT {columns} FROM {generation}.{table}
WHERE begin_snapshot <= {at} AND coalesce(end_snapshot, {at} + 1) > {at}
