-- What scrub asks of the catalog. {generation} is the schema of a generation's lake.

-- name: files
-- Every file that a snapshot names, with its digest of when it was written, and the first and last of its rows' keys.
SELECT schema.path || lake.path || file.path, table_name, record_count, kept.size_bytes, encode(kept.sha256, 'hex'),
       keys.min_value, keys.max_value
FROM (SELECT data_file_id, table_id, path, record_count FROM {generation}.ducklake_data_file
      UNION ALL
      SELECT NULL, table_id, path, delete_count FROM {generation}.ducklake_delete_file) AS file
JOIN {generation}.ducklake_table AS lake USING (table_id)
JOIN {generation}.ducklake_schema AS schema USING (schema_id)
LEFT JOIN {generation}.ducklake_column AS key
       ON key.table_id = file.table_id AND key.column_order = 1 AND key.end_snapshot IS NULL
LEFT JOIN {generation}.ducklake_file_column_stats AS keys
       ON keys.data_file_id = file.data_file_id AND keys.column_id = key.column_id
LEFT JOIN circles.files AS kept ON kept.generation = %(generation)s AND kept.swept_at IS NULL
      AND kept.path = schema.path || lake.path || file.path
ORDER BY 1

-- name: still_named
SELECT 1 FROM circles.catalogued(%(generation)s) WHERE name = %(name)s
