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

-- name: offsets
CREATE VIEW memory.main.offsets AS
SELECT topic, "partition", next_offset FROM __ducklake_metadata_lake.circles.offsets
WHERE generation = {generation};

-- name: newest_images
SELECT image_id FROM lake.images ORDER BY image_id DESC LIMIT $most;

-- name: newest_detections
SELECT image_id, model_name, model_version FROM lake.detections ORDER BY image_id DESC LIMIT $most;

-- name: known_images
-- Which of a batch's images the view has. The range lets files be skipped, as ids are ordered by time.
SELECT image_id FROM lake.images
WHERE image_id BETWEEN (SELECT min(image_id) FROM batch) AND (SELECT max(image_id) FROM batch)
  AND image_id IN (SELECT image_id FROM batch);

-- name: known_detections
SELECT image_id, model_name, model_version FROM lake.detections
WHERE image_id BETWEEN (SELECT min(image_id) FROM batch) AND (SELECT max(image_id) FROM batch)
  AND image_id IN (SELECT image_id FROM batch);

-- name: known_failures
SELECT dead_letter_id FROM lake.failures WHERE dead_letter_id IN (SELECT dead_letter_id FROM batch);

-- name: known_retries
SELECT dead_letter_id FROM lake.retries WHERE dead_letter_id IN (SELECT dead_letter_id FROM batch);

-- name: dead_letters
-- `failures` with whether each was retried, newest first.
SELECT f.dead_letter_id, f.image_id, f.stage, f.error, f.reason, f.source_topic, f.source_partition,
       f.source_offset, f.message_key, f.message_value, f.headers, f.failed_at,
       f.dead_letter_id IN (SELECT dead_letter_id FROM lake.retries) AS retried
FROM lake.failures f
WHERE ($retried OR NOT f.dead_letter_id IN (SELECT dead_letter_id FROM lake.retries))
  AND (len($ids) = 0 OR len(list_filter($ids, x -> starts_with(f.dead_letter_id::VARCHAR, x))) > 0)
ORDER BY f.failed_at DESC, f.dead_letter_id LIMIT $count;
