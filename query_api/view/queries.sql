-- Named queries over the relations `images` and `circles` (relations.sql), and conditions that they may have to meet.
-- `$name` is a parameter. Those over `lake` at the end read its tables themselves.

-- name: images
SELECT * EXCLUDE (of_replay), CASE WHEN detected_at IS NOT NULL THEN 'detected' WHEN dead_letter_id IS NOT NULL THEN 'failed'
               ELSE 'pending' END AS status
FROM images WHERE {conditions} ORDER BY {order};

-- name: circles
SELECT * FROM circles WHERE {conditions} ORDER BY {order};

-- name: candidates
SELECT count(*) FROM candidate;

-- name: project_counts
SELECT count(*) AS images, count(detected_at) AS detected, coalesce(sum(circle_count), 0)::BIGINT AS circles,
       count(*) FILTER (WHERE detected_at IS NULL AND dead_letter_id IS NOT NULL) AS dead_letters,
       count(*) FILTER (WHERE detected_at IS NULL AND dead_letter_id IS NULL) AS pending,
       avg(latency_ms) AS model_latency_ms
FROM images WHERE {conditions};

-- A bucket is a plain time, as DuckDB takes ten times as long to find those of a time with a zone.

-- name: statistics_images
SELECT * {in_utc} FROM (SELECT {groups} count(*) AS images, count(detected_at) AS detected,
       count(dead_letter_id) FILTER (WHERE detected_at IS NULL) AS failed,
       count(*) - count(detected_at) - count(dead_letter_id) FILTER (WHERE detected_at IS NULL) AS pending,
       count(*) FILTER (WHERE circle_count = 0) AS without_circles,
       coalesce(sum(circle_count), 0)::BIGINT AS circles
FROM images WHERE {conditions} GROUP BY ALL) ORDER BY ALL;

-- name: statistics_latency
-- Not of replays: they come when they are asked for, and give way to live images.
SELECT * {in_utc} FROM (SELECT {groups} count(*) AS images, quantile_cont(latency_ms, 0.5) AS model_ms_p50,
       quantile_cont(latency_ms, 0.9) AS model_ms_p90, quantile_cont(latency_ms, 0.99) AS model_ms_p99,
       quantile_cont(waited_ms, 0.5) AS upload_to_detected_ms_p50,
       quantile_cont(waited_ms, 0.9) AS upload_to_detected_ms_p90,
       quantile_cont(waited_ms, 0.99) AS upload_to_detected_ms_p99
FROM (SELECT *, epoch_ms(detected_at) - epoch_ms(uploaded_at) AS waited_ms FROM images
      WHERE {conditions} AND detected_at IS NOT NULL AND NOT of_replay)
GROUP BY ALL) ORDER BY ALL;

-- name: statistics_histogram
-- By the bin alone: by its two bounds takes three times as long. A bound is .6, not .6000000000000001.
SELECT * EXCLUDE (bin, circles), format('{:.12g}', bin * $width)::DOUBLE AS from_value,
       format('{:.12g}', (bin + 1) * $width)::DOUBLE AS to_value, circles
FROM (SELECT {groups} floor({value} / $width) AS bin, count(*) AS circles FROM circles WHERE {conditions} GROUP BY ALL)
ORDER BY ALL;

-- On what was uploaded.

-- name: since_floor
uploaded_at >= $floor
-- name: image
image_id = $image
-- name: among
image_id IN (SELECT unnest($images))
-- name: project
project_id = $project
-- name: scope
project_id = $scope
-- name: source
source_id = $source
-- name: since
uploaded_at >= $since
-- name: until
uploaded_at < $until
-- name: attributes
json_contains(attributes, $attributes)
-- name: not_after
uploaded_at <= $k0
-- name: newest_behind
(uploaded_at, image_id) < ($k0, $k1)
-- name: oldest_behind
(uploaded_at, image_id) > ($k0, $k1)

-- On what became of it.

-- name: min_circles
circle_count >= $min_circles
-- name: max_circles
circle_count <= $max_circles
-- name: model
model_name = $model
-- name: version
model_version = $version
-- name: detected
detected_at IS NOT NULL
-- name: failed
detected_at IS NULL AND dead_letter_id IS NOT NULL
-- name: pending
detected_at IS NULL AND dead_letter_id IS NULL
-- name: most_circles_behind
(circle_count, image_id) < ($k0, $k1)
-- name: fewest_circles_behind
(circle_count, image_id) > ($k0, $k1)

-- On circles.

-- name: min_radius
radius >= $min_radius
-- name: max_radius
radius <= $max_radius
-- name: min_score
score >= $min_score
-- name: max_score
score <= $max_score
-- name: box
x >= $box[1] AND y >= $box[2] AND x <= $box[3] AND y <= $box[4]
-- name: newest_circle_behind
(uploaded_at, image_id, object_id) < ($k0, $k1, $k2)
-- name: largest_behind
(radius, object_id) < ($k0, $k1)
-- name: smallest_behind
(radius, object_id) > ($k0, $k1)
-- name: best_behind
(score, object_id) < ($k0, $k1)
-- name: worst_behind
(score, object_id) > ($k0, $k1)

-- name: counts
WITH open AS (
    SELECT image_id FROM lake.failures WHERE dead_letter_id NOT IN (SELECT dead_letter_id FROM lake.retries)),
finished AS (SELECT image_id FROM lake.detections UNION SELECT image_id FROM open)
SELECT (SELECT count(*) FROM lake.images) AS images,
       (SELECT count(DISTINCT image_id) FROM lake.detections) AS detected,
       (SELECT coalesce(sum(circle_count), 0)::BIGINT FROM lake.detections WHERE replay_id IS NULL) AS circles,
       (SELECT count(*) FROM open) AS dead_letters,
       (SELECT count(*) FROM lake.images WHERE image_id NOT IN (SELECT image_id FROM finished
            WHERE image_id IS NOT NULL)) AS pending,
       (SELECT avg(latency_ms) FROM (SELECT latency_ms FROM lake.detections WHERE replay_id IS NULL ORDER BY detected_at DESC LIMIT 100))
           AS model_latency_ms;

-- name: folded
SELECT topic, sum(next_offset)::BIGINT AS next_offset FROM memory.main.offsets GROUP BY topic;

-- name: snapshot
SELECT snapshot_id FROM lake.snapshots() WHERE snapshot_id = $number;

-- name: snapshot_at
SELECT max(snapshot_id) AS snapshot FROM lake.snapshots() WHERE snapshot_time <= $moment;

-- name: annotations
-- The newest versions of an image's ground truth, each with its circles: so many at most, and none behind those that
-- have enough circles. `log_offset` orders what is of one image; an image's annotations are of its project, whatever
-- they say themselves.
WITH version AS MATERIALIZED (
    SELECT * FROM lake.annotations {at} WHERE image_id = $image
    WINDOW newer AS (ORDER BY log_offset DESC ROWS UNBOUNDED PRECEDING)
    QUALIFY row_number() OVER newer <= $most AND sum(circle_count) OVER newer - circle_count < $enough),
circle AS (SELECT * FROM lake.annotated {at} WHERE image_id = $image)
SELECT version.annotation_id, annotator, annotated_at, model_name, model_version, drawn_as, circle_count,
       object_id, x, y, radius, x_min, y_min, x_max, y_max
FROM version LEFT JOIN circle ON circle.annotation_id = version.annotation_id
ORDER BY log_offset DESC, radius DESC, object_id;
