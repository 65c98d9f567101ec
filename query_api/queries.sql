-- Named queries over the lake. `$name` is a parameter. The ranges beside the lists of ids let DuckDB skip
-- files: ids are ordered by time. `{conditions}` are those named `<query>_<condition>` that are asked for.

-- name: images
-- A page of images, newest first, each with its newest detection or its open failure.
WITH page AS (
    SELECT * FROM lake.images WHERE {conditions}
    ORDER BY uploaded_at DESC, image_id DESC LIMIT $count),
detected AS (
    SELECT image_id, max_by((model_name, model_version, circle_count, latency_ms, detected_at), detected_at) AS d
    FROM lake.detections WHERE image_id IN (SELECT image_id FROM page) GROUP BY image_id),
failed AS (
    SELECT image_id, max_by((dead_letter_id, stage, error, reason), failed_at) AS f
    FROM lake.failures
    WHERE image_id IN (SELECT image_id FROM page)
      AND dead_letter_id NOT IN (SELECT dead_letter_id FROM lake.retries)
    GROUP BY image_id)
SELECT page.image_id, source_id, uri, sha256, content_type, width, height, size_bytes, captured_at, uploaded_at,
       attributes, d, f
FROM page LEFT JOIN detected USING (image_id) LEFT JOIN failed USING (image_id)
ORDER BY uploaded_at DESC, image_id DESC;

-- name: images_image_id
image_id = $image_id
-- name: images_before
(uploaded_at, image_id) < ($before, $before_id)
-- name: images_source
source_id = $source
-- name: images_since
uploaded_at >= $since
-- name: images_until
uploaded_at < $until
-- name: images_min_circles
image_id IN (SELECT image_id FROM lake.detections
             GROUP BY image_id HAVING max_by(circle_count, detected_at) >= $min_circles)
-- name: images_max_circles
image_id IN (SELECT image_id FROM lake.detections
             GROUP BY image_id HAVING max_by(circle_count, detected_at) <= $max_circles)
-- name: images_model
image_id IN (SELECT image_id FROM lake.detections WHERE model_name = $model)
-- name: images_version
image_id IN (SELECT image_id FROM lake.detections WHERE model_name = $model AND model_version = $version)
-- name: images_detected
image_id IN (SELECT image_id FROM lake.detections)
-- name: images_failed
image_id NOT IN (SELECT image_id FROM lake.detections)
AND image_id IN (SELECT image_id FROM lake.failures WHERE dead_letter_id NOT IN (SELECT dead_letter_id FROM lake.retries))
-- name: images_pending
image_id NOT IN (SELECT image_id FROM lake.detections)
AND image_id NOT IN (SELECT image_id FROM lake.failures WHERE image_id IS NOT NULL
                     AND dead_letter_id NOT IN (SELECT dead_letter_id FROM lake.retries))

-- name: stored_object
-- Where an image's bytes are.
SELECT uri, sha256, content_type, size_bytes FROM lake.images WHERE image_id = $image_id;

-- name: objects
-- The circles of the newest detection of each of some images, best score first.
WITH newest AS (
    SELECT image_id, max_by((model_name, model_version), detected_at) AS m
    FROM lake.detections
    WHERE image_id BETWEEN list_min($image_ids) AND list_max($image_ids)
      AND image_id IN (SELECT unnest($image_ids)) GROUP BY image_id)
SELECT o.image_id, o.object_id, o.x, o.y, o.radius, o.score, o.x_min, o.y_min, o.x_max, o.y_max
FROM lake.objects o JOIN newest ON o.image_id = newest.image_id AND (o.model_name, o.model_version) = newest.m
WHERE o.image_id BETWEEN list_min($image_ids) AND list_max($image_ids)
ORDER BY o.image_id, o.score DESC, o.object_id;

-- name: finished
-- Which of some images have a detection, or else a failure.
SELECT DISTINCT image_id, true AS detected FROM lake.detections
WHERE image_id BETWEEN list_min($image_ids) AND list_max($image_ids) AND image_id IN (SELECT unnest($image_ids))
UNION ALL
SELECT DISTINCT image_id, false FROM lake.failures WHERE image_id IN (SELECT unnest($image_ids))
ORDER BY detected DESC;

-- name: counts
WITH open AS (
    SELECT image_id FROM lake.failures WHERE dead_letter_id NOT IN (SELECT dead_letter_id FROM lake.retries)),
finished AS (SELECT image_id FROM lake.detections UNION SELECT image_id FROM open)
SELECT (SELECT count(*) FROM lake.images) AS images,
       (SELECT count(DISTINCT image_id) FROM lake.detections) AS detected,
       (SELECT count(*) FROM lake.objects) AS circles,
       (SELECT count(*) FROM open) AS dead_letters,
       (SELECT count(*) FROM lake.images WHERE image_id NOT IN (SELECT image_id FROM finished
            WHERE image_id IS NOT NULL)) AS pending,
       (SELECT avg(latency_ms) FROM (SELECT latency_ms FROM lake.detections ORDER BY detected_at DESC LIMIT 100))
           AS model_latency_ms;

-- name: folded
SELECT topic, sum(next_offset)::BIGINT AS next_offset FROM memory.main.offsets GROUP BY topic;
