-- What the follower asks of the catalog. {generation} is the schema of a generation's lake.

-- name: standing
-- The live generation; of the one that is followed its newest snapshot, how far uploads and annotations are folded, up to where
-- all uploads are resolved, and what each of the next commits after a snapshot changed.
SELECT (SELECT generation FROM circles.generations WHERE state = 'live'),
       (SELECT max(snapshot_id) FROM {generation}.ducklake_snapshot),
       (SELECT jsonb_object_agg(partition, next_offset) FROM circles.offsets
        WHERE generation = %(generation)s AND topic = %(uploaded)s),
       (SELECT jsonb_object_agg(partition, next_offset) FROM circles.offsets
        WHERE generation = %(generation)s AND topic = %(annotated)s),
       (SELECT jsonb_object_agg(partition, watermark) FROM circles.watermarks WHERE generation = %(generation)s),
       (SELECT jsonb_agg(jsonb_build_array(snapshot_id, changes_made, commit_extra_info) ORDER BY snapshot_id)
        FROM {generation}.ducklake_snapshot_changes WHERE snapshot_id > %(after)s AND snapshot_id <= %(after)s::bigint + %(most)s)

-- name: tables
SELECT table_id, table_name FROM {generation}.ducklake_table
