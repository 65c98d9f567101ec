-- Named statements of the view. `lake` is the attached DuckLake; `batch` a registered Arrow table.

-- name: create_tables
-- The view's tables. DuckLake has no keys: the fold keeps (image_id), (image_id, model) and the ids of
-- dead letters unique. No column is nested: small commits are kept in the catalog, nested columns there as text,
-- and some texts (`}`, a NUL) then cannot be read again or committed at all. So `attributes` is a JSON object,
-- and `headers` a JSON array of [name, base64 or null].
CREATE TABLE IF NOT EXISTS lake.images (
    image_id UUID, project_id VARCHAR, source_id VARCHAR, uri VARCHAR, sha256 VARCHAR, content_type VARCHAR,
    width INTEGER, height INTEGER, size_bytes BIGINT, captured_at TIMESTAMPTZ, uploaded_at TIMESTAMPTZ,
    attributes VARCHAR, log_partition INTEGER, log_offset BIGINT);
CREATE TABLE IF NOT EXISTS lake.detections (
    image_id UUID, project_id VARCHAR, model_name VARCHAR, model_version VARCHAR, circle_count INTEGER,
    latency_ms FLOAT, detected_at TIMESTAMPTZ, replay_id UUID, source_partition INTEGER, source_offset BIGINT);
CREATE TABLE IF NOT EXISTS lake.objects (
    image_id UUID, object_id UUID, model_name VARCHAR, model_version VARCHAR,
    x FLOAT, y FLOAT, radius FLOAT, score FLOAT, x_min FLOAT, y_min FLOAT, x_max FLOAT, y_max FLOAT);
CREATE TABLE IF NOT EXISTS lake.failures (
    dead_letter_id UUID, image_id UUID, project_id VARCHAR, stage VARCHAR, error VARCHAR, reason VARCHAR,
    source_topic VARCHAR, source_partition INTEGER, source_offset BIGINT, message_key BLOB, message_value BLOB,
    headers BLOB, failed_at TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS lake.retries (dead_letter_id UUID, image_id UUID, retried_at TIMESTAMPTZ);
-- Uploads on the log that have no row of their own in `images`, and that the watermark has to know: bytes that are
-- no record (without an image), and an image's copies on other partitions than its row's.
CREATE TABLE IF NOT EXISTS lake.unlisted (log_partition INTEGER, log_offset BIGINT, image_id UUID);

-- Re-evaluation. An image's newest annotation, the newest change of a replay and the newest promotion are those with
-- the highest `log_offset`: all about the same are on one partition. `images`, `begins` and `ends` are JSON arrays.
CREATE TABLE IF NOT EXISTS lake.annotations (
    annotation_id UUID, image_id UUID, project_id VARCHAR, annotator VARCHAR, annotated_at TIMESTAMPTZ,
    model_name VARCHAR, model_version VARCHAR, drawn_as VARCHAR, circle_count INTEGER, log_offset BIGINT);
CREATE TABLE IF NOT EXISTS lake.annotated (
    annotation_id UUID, image_id UUID, object_id UUID, x FLOAT, y FLOAT, radius FLOAT,
    x_min FLOAT, y_min FLOAT, x_max FLOAT, y_max FLOAT);
CREATE TABLE IF NOT EXISTS lake.replays (
    replay_id UUID, model_name VARCHAR, model_version VARCHAR, project_id VARCHAR, source_id VARCHAR,
    since TIMESTAMPTZ, until TIMESTAMPTZ, sample BIGINT, annotated BOOLEAN, calls_at_once INTEGER,
    requested_by VARCHAR, requested_at TIMESTAMPTZ, images VARCHAR, begins VARCHAR, ends VARCHAR,
    share DOUBLE, follow BOOLEAN);
CREATE TABLE IF NOT EXISTS lake.replay_changes (
    change_id UUID, replay_id UUID, state VARCHAR, changed_by VARCHAR, changed_at TIMESTAMPTZ,
    log_offset BIGINT);
CREATE TABLE IF NOT EXISTS lake.not_replayed (
    event_id UUID, replay_id UUID, image_id UUID, error VARCHAR, reason VARCHAR, source_partition INTEGER,
    source_offset BIGINT, failed_at TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS lake.promotions (
    promotion_id UUID, model_name VARCHAR, model_version VARCHAR, previous_name VARCHAR, previous_version VARCHAR,
    back BOOLEAN, evidence VARCHAR, promoted_by VARCHAR, promoted_at TIMESTAMPTZ, log_offset BIGINT);

-- name: offsets
CREATE VIEW memory.main.offsets AS
SELECT topic, "partition", next_offset FROM __ducklake_metadata_lake.circles.offsets
WHERE generation = {generation};

-- name: newest_images
SELECT image_id, log_partition FROM lake.images ORDER BY image_id DESC LIMIT $most;

-- name: newest_detections
SELECT image_id, model_name, model_version FROM lake.detections ORDER BY image_id DESC LIMIT $most;

-- name: known_images
-- Which of a batch's images the view has. The range lets files be skipped, as ids are ordered by time.
SELECT image_id, log_partition FROM lake.images
WHERE image_id BETWEEN (SELECT min(image_id) FROM batch) AND (SELECT max(image_id) FROM batch)
  AND image_id IN (SELECT image_id FROM batch);

-- name: known_detections
SELECT image_id, model_name, model_version FROM lake.detections
WHERE image_id BETWEEN (SELECT min(image_id) FROM batch) AND (SELECT max(image_id) FROM batch)
  AND image_id IN (SELECT image_id FROM batch);

-- name: known_unlisted
SELECT log_partition, log_offset FROM lake.unlisted JOIN batch USING (log_partition, log_offset);

-- name: first_uploads
-- Where the view begins, by partition.
SELECT log_partition, min(log_offset)
FROM (SELECT log_partition, log_offset FROM lake.images UNION ALL SELECT log_partition, log_offset FROM lake.unlisted)
GROUP BY log_partition;

-- name: first_unresolved
-- Of some partitions, each within its own range of offsets, the first upload that is neither detected nor failed.
-- The ranges over all let files be skipped. ANTI JOIN USING, as NOT EXISTS is planned as a loop over all pairs.
WITH ranges AS (SELECT unnest($partitions) AS log_partition, unnest($begins) AS low, unnest($ends) AS high),
uploads AS MATERIALIZED (
    SELECT log_partition, log_offset, image_id
    FROM (SELECT log_partition, log_offset, image_id FROM lake.images
          WHERE log_offset >= $low AND log_offset < $high
          UNION ALL
          SELECT log_partition, log_offset, image_id FROM lake.unlisted
          WHERE log_offset >= $low AND log_offset < $high)
    JOIN ranges USING (log_partition) WHERE log_offset >= low AND log_offset < high),
images AS MATERIALIZED (SELECT min(image_id) AS low, max(image_id) AS high FROM uploads),
unresolved AS (
    SELECT log_partition, log_offset FROM uploads
    ANTI JOIN (SELECT image_id FROM lake.detections
               WHERE image_id BETWEEN (SELECT low FROM images) AND (SELECT high FROM images)) USING (image_id)
    ANTI JOIN (SELECT image_id FROM lake.failures
               WHERE image_id BETWEEN (SELECT low FROM images) AND (SELECT high FROM images)) USING (image_id)
    WHERE image_id IS NOT NULL
    UNION ALL
    SELECT log_partition, log_offset FROM uploads
    ANTI JOIN (SELECT source_partition AS log_partition, source_offset AS log_offset FROM lake.failures
               WHERE source_topic = $topic AND source_offset >= $low AND source_offset < $high)
        USING (log_partition, log_offset)
    WHERE image_id IS NULL)
SELECT log_partition, min(log_offset) FROM unresolved GROUP BY log_partition;

-- name: open_dead_letters
SELECT count(*) FROM lake.failures WHERE dead_letter_id NOT IN (SELECT dead_letter_id FROM lake.retries);

-- name: dead_letters
-- `failures` with whether each was retried, newest first.
SELECT f.dead_letter_id, f.image_id, f.stage, f.error, f.reason, f.source_topic, f.source_partition,
       f.source_offset, f.message_key, f.message_value, f.headers, f.failed_at,
       f.dead_letter_id IN (SELECT dead_letter_id FROM lake.retries) AS retried
FROM lake.failures f
WHERE ($retried OR NOT f.dead_letter_id IN (SELECT dead_letter_id FROM lake.retries))
  AND (len($ids) = 0 OR len(list_filter($ids, x -> starts_with(f.dead_letter_id::VARCHAR, x))) > 0)
ORDER BY f.failed_at DESC, f.dead_letter_id LIMIT $count;
