-- What a query in SQL is given of the catalog, in one transaction. {generation} is the schema of the live lake.

-- name: files
-- Every file of the newest snapshot, by table.
SELECT table_name, schema.path || lake.path || file.path
FROM {generation}.ducklake_data_file AS file
JOIN {generation}.ducklake_table AS lake USING (table_id)
JOIN {generation}.ducklake_schema AS schema USING (schema_id)
WHERE file.end_snapshot IS NULL
ORDER BY data_file_id

-- name: deleted
-- Nothing deletes rows of a view; who did so by hand has files that say which.
SELECT 1 FROM {generation}.ducklake_delete_file WHERE end_snapshot IS NULL LIMIT 1

-- name: tables_of_rows
-- Where rows are that are kept in the catalog: small commits' (streams/lake.py).
SELECT lake.table_name, kept.table_name
FROM {generation}.ducklake_inlined_data_tables AS kept
JOIN {generation}.ducklake_table AS lake USING (table_id)

-- name: rows
SELECT {columns} FROM {generation}.{table} WHERE end_snapshot IS NULL
