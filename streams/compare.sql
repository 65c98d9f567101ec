-- Two views, each attached with its own tables, compared without regard to the order of their rows.

-- name: columns
SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns()
WHERE database_name = $view GROUP BY table_name ORDER BY min(table_oid);

-- name: checksums
-- Of each of 1024 parts, so that only parts which differ have to be looked at closely.
SELECT hash({image_id}) % 1024 AS part, count(*) AS rows, sum(hash({columns})) AS checksum
FROM {relation} GROUP BY part;

-- name: apart
-- How the parts differ, image by image. `whole` is of all columns, `said` of those that are no place on the log.
WITH live AS (
    SELECT {image_id} AS image_id, count(*) AS rows, sum(hash({columns})) AS whole, sum(hash({said})) AS said, [{sums}] AS sums
    FROM {live} WHERE hash({image_id}) % 1024 IN (SELECT unnest($parts)) GROUP BY 1),
fresh AS (
    SELECT {image_id} AS image_id, count(*) AS rows, sum(hash({columns})) AS whole, sum(hash({said})) AS said, [{sums}] AS sums
    FROM {fresh} WHERE hash({image_id}) % 1024 IN (SELECT unnest($parts)) GROUP BY 1),
apart AS (
    SELECT coalesce(live.image_id, fresh.image_id) AS image_id,
           coalesce(live.rows, 0) AS live_rows, coalesce(fresh.rows, 0) AS fresh_rows,
           coalesce(live.image_id, fresh.image_id) IS NOT NULL
               AND ($only_places OR coalesce(live.said = fresh.said, false)) AS elsewhere,
           list_filter($columns, lambda name, i: live.sums[i] <> fresh.sums[i]) AS columns
    FROM live FULL JOIN fresh ON live.image_id IS NOT DISTINCT FROM fresh.image_id
    WHERE live.whole IS DISTINCT FROM fresh.whole)
SELECT coalesce(sum(greatest(fresh_rows - live_rows, 0)) FILTER (NOT elsewhere), 0)::BIGINT AS missing,
       coalesce(sum(greatest(live_rows - fresh_rows, 0)) FILTER (NOT elsewhere), 0)::BIGINT AS extra,
       count(*) FILTER (NOT elsewhere AND live_rows = fresh_rows) AS other,
       count(*) FILTER (elsewhere) AS elsewhere,
       list(DISTINCT columns) FILTER (NOT elsewhere AND live_rows = fresh_rows) AS columns,
       min(image_id, 3) FILTER (NOT elsewhere) AS examples
FROM apart;
