-- What queries read: `images`, each with its served detection and its newest open failure, and `circles`, those of
-- the served detections. In the window both are tables; of the lake they are made for each query, of the images
-- that are candidates: `{own}` are conditions on the columns of lake.images, `{most}` how many at most, `{model}`
-- conditions on the detections that count, else those of replays only where their version was promoted, `{of_each}` of
-- what one of them is taken: of an image, or each.
-- Served is the detection of the version that was promoted last; of versions that never were, the newest one; of one
-- instant that of the later model name and version.

-- name: lake
WITH candidate AS MATERIALIZED (
    SELECT * FROM lake.images WHERE {own} {most}),
within AS MATERIALIZED (SELECT min(image_id) AS low, max(image_id) AS high FROM candidate),
promoted AS (SELECT model_name, model_version, max(log_offset) AS place FROM lake.promotions GROUP BY ALL),
detected AS (
    SELECT image_id, max_by({'name': model_name, 'version': model_version, 'circles': circle_count,
                             'latency': latency_ms, 'at': detected_at, 'replay': replay_id IS NOT NULL},
                            (coalesce(place, -1), detected_at, model_name, model_version)) AS d
    FROM lake.detections LEFT JOIN promoted USING (model_name, model_version)
    WHERE image_id BETWEEN (SELECT low FROM within) AND (SELECT high FROM within)
      AND image_id IN (SELECT image_id FROM candidate) AND {model}
    GROUP BY {of_each}),
failed AS (
    SELECT image_id, max_by({'id': dead_letter_id, 'stage': stage, 'error': error, 'reason': reason, 'at': failed_at},
                            (failed_at, dead_letter_id)) AS f
    FROM lake.failures
    WHERE image_id IN (SELECT image_id FROM candidate)
      AND dead_letter_id NOT IN (SELECT dead_letter_id FROM lake.retries)
    GROUP BY image_id),
images AS MATERIALIZED (
    SELECT candidate.image_id, project_id, source_id, uri, sha256, content_type, width, height, size_bytes,
           captured_at, uploaded_at, attributes, d.name AS model_name, d.version AS model_version,
           d.circles AS circle_count, d.latency AS latency_ms, d.at AS detected_at, d.replay AS of_replay,
           f.id AS dead_letter_id, f.stage AS stage, f.error AS error, f.reason AS reason, f.at AS failed_at
    FROM candidate LEFT JOIN detected USING (image_id) LEFT JOIN failed USING (image_id)),
circles AS (
    SELECT o.image_id, object_id, o.model_name, o.model_version, x, y, radius, score, x_min, y_min, x_max, y_max,
           uploaded_at, project_id, source_id
    FROM lake.objects o JOIN images ON o.image_id = images.image_id
     AND o.model_name = images.model_name AND o.model_version = images.model_version
    WHERE o.image_id BETWEEN (SELECT low FROM within) AND (SELECT high FROM within))
