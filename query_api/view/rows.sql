-- Rows that small commits leave in the catalog. {generation} is the schema of a generation's lake.

-- name: kept
-- Where each table's rows are kept: one place for each shape that the table has had.
SELECT lake.table_name, array_agg(kept.table_name)
FROM {generation}.ducklake_inlined_data_tables AS kept JOIN {generation}.ducklake_table AS lake USING (table_id)
WHERE lake.end_snapshot IS NULL GROUP BY 1

-- name: rows
SELECT {columns}, begin_snapshot FROM {table} WHERE begin_snapshot BETWEEN %(first)s AND %(last)s ORDER BY row_id

-- name: still_there
-- Whether all of these commits are known, and no rows left the catalog for files since the first of them.
SELECT count(*) FILTER (WHERE snapshot_id <= %(last)s) = %(last)s::bigint - %(first)s + 1
       AND NOT coalesce(bool_or(changes_made LIKE '%%flush%%'), false)
FROM {generation}.ducklake_snapshot_changes WHERE snapshot_id >= %(first)s
