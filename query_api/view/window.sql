-- The window: tables in memory, `images` and `circles`, with the columns of the relations of the same names. An image
-- may come after its detection or its failure: its row then has no `uploaded_at` until it comes.

-- name: since
-- When the images were uploaded that are as many as the window may hold.
SELECT min(uploaded_at), count(*) FROM
    (SELECT uploaded_at FROM lake.images ORDER BY uploaded_at DESC LIMIT $most);

-- name: create_circles
CREATE TABLE circles AS SELECT o.*, uploaded_at, project_id, source_id FROM lake.objects AS o, images LIMIT 0;

-- name: load_circles
-- Of a part of the window's own `images`, which are there: of an image from the best.
SELECT o.image_id, object_id, o.model_name, o.model_version, x, y, radius, score, x_min, y_min, x_max, y_max,
       uploaded_at, project_id, source_id
FROM lake.objects AS o JOIN images ON o.image_id = images.image_id
 AND o.model_name = images.model_name AND o.model_version = images.model_version
WHERE o.image_id BETWEEN $first AND $last
ORDER BY o.image_id, score DESC, object_id;

-- name: load_failures
CREATE TABLE failures AS
SELECT dead_letter_id, image_id, project_id, stage, error, reason, failed_at FROM lake.failures
WHERE image_id IN (SELECT image_id FROM lake.images WHERE uploaded_at >= $since OR $since IS NULL);

-- name: load_retries
CREATE TABLE retries AS
SELECT dead_letter_id, image_id FROM lake.retries;

-- name: detections
SELECT count(detected_at), min(image_id), max(image_id) FROM images;

-- name: all_detections
SELECT count(*) FROM lake.detections WHERE image_id BETWEEN $low AND $high;

-- name: times
-- When each so many-th image was uploaded, of a table just made in that order.
SELECT uploaded_at FROM images WHERE rowid % $step = 0 ORDER BY uploaded_at;

-- name: parts
-- Images whose circles are loaded together, by the first and the last.
SELECT min(image_id), max(image_id) FROM
    (SELECT image_id, ntile($parts) OVER (ORDER BY image_id) AS part FROM images WHERE detected_at IS NOT NULL)
GROUP BY part;

-- name: promoted
-- The place of each promotion's version among all of them.
SELECT model_name, model_version, max(log_offset) FROM lake.promotions GROUP BY ALL;

-- name: uploads
-- As the timeline keeps them.
SELECT image_id, epoch_us(uploaded_at) AS uploaded, project_id, source_id,
       json_array(uri, sha256, content_type, width, height, size_bytes, epoch_us(captured_at), attributes)::VARCHAR
           AS packed
FROM added;

-- name: open_failures
SELECT image_id, dead_letter_id, stage, error, reason, failed_at FROM images WHERE dead_letter_id IS NOT NULL;

-- name: pending
SELECT image_id FROM images WHERE detected_at IS NULL;

-- name: part_detections
SELECT image_id, project_id, model_name, model_version, circle_count, latency_ms, detected_at FROM images
WHERE detected_at IS NOT NULL AND image_id BETWEEN $first AND $last;

-- name: detections_ahead
-- Detections whose images are not there yet, as their uploads are not folded: they are further on the log.
WITH folded AS (SELECT unnest($partitions) AS source_partition, unnest($offsets) AS next_offset)
SELECT image_id, project_id, model_name, model_version, circle_count, latency_ms, detected_at, replay_id
FROM lake.detections LEFT JOIN folded USING (source_partition)
WHERE source_offset >= list_min($offsets) AND source_offset >= coalesce(next_offset, 0);

-- name: objects_ahead
SELECT image_id, object_id, model_name, model_version, x, y, radius, score, x_min, y_min, x_max, y_max
FROM lake.objects WHERE image_id IN (SELECT unnest($images));

-- name: failures_ahead
WITH folded AS (SELECT unnest($partitions) AS source_partition, unnest($offsets) AS next_offset)
SELECT dead_letter_id, image_id, failures.project_id, stage, error, reason, failed_at
FROM lake.failures LEFT JOIN folded USING (source_partition)
WHERE source_topic <> $topic OR source_offset >= coalesce(next_offset, 0);

-- name: fill_images
UPDATE images SET source_id = added.source_id, uri = added.uri, sha256 = added.sha256,
    content_type = added.content_type, width = added.width, height = added.height, size_bytes = added.size_bytes,
    captured_at = added.captured_at, uploaded_at = added.uploaded_at, attributes = added.attributes,
    project_id = added.project_id
FROM added WHERE images.image_id = added.image_id;

-- name: fill_circles
UPDATE circles SET uploaded_at = added.uploaded_at, project_id = added.project_id, source_id = added.source_id
FROM added WHERE circles.image_id = added.image_id;

-- name: set_detections
UPDATE images SET model_name = added.model_name, model_version = added.model_version,
    circle_count = added.circle_count, latency_ms = added.latency_ms, detected_at = added.detected_at,
    of_replay = added.replay_id IS NOT NULL
FROM added WHERE images.image_id = added.image_id;

-- name: add_circles
-- Of detections that are their images' newest.
INSERT INTO circles BY NAME
SELECT o.*, i.uploaded_at, i.project_id, i.source_id FROM added AS o JOIN images AS i
    ON o.image_id = i.image_id AND o.model_name = i.model_name AND o.model_version = i.model_version
RETURNING *;

-- name: touched
-- Images whose open failure may be another now.
SELECT DISTINCT ON (image_id) image_id, project_id FROM failures WHERE image_id IS NOT NULL AND dead_letter_id IN (SELECT unnest($dead_letters));

-- name: set_failures
UPDATE images SET dead_letter_id = f.id, stage = f.stage, error = f.error, reason = f.reason, failed_at = f.at
FROM (SELECT added.image_id,
             max_by({'id': dead_letter_id, 'stage': stage, 'error': error, 'reason': reason, 'at': failed_at},
                    (failed_at, dead_letter_id)) AS f
      FROM added LEFT JOIN (SELECT * FROM failures
                            WHERE dead_letter_id NOT IN (SELECT dead_letter_id FROM retries)) AS open
        ON open.image_id = added.image_id
      GROUP BY added.image_id) AS newest
WHERE images.image_id = newest.image_id
RETURNING images.image_id, dead_letter_id, stage, error, reason, failed_at;

-- name: keep_since
SELECT uploaded_at FROM images WHERE uploaded_at IS NOT NULL ORDER BY uploaded_at DESC LIMIT 1 OFFSET $most;

-- name: leave_images
DELETE FROM images WHERE uploaded_at < $since
    OR (uploaded_at IS NULL AND coalesce(detected_at, failed_at) < $since) RETURNING image_id;
