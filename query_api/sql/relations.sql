-- `images` and `circles` as queries in SQL see them: the rows of view/relations.sql, but in plain joins. What that has
-- MATERIALIZED serves a page of few images; here it kept conditions from being pushed down, and of a million images
-- 512 MB were not enough to count them. `{own}` is a condition on the columns of lake.images.

-- name: images
SELECT image_id, project_id, source_id, uri, sha256, content_type, width, height, size_bytes, captured_at, uploaded_at,
       attributes, d.name AS model_name, d.version AS model_version, d.circles AS circle_count,
       d.latency AS latency_ms, d.at AS detected_at, f.id AS dead_letter_id, f.stage AS stage, f.error AS error,
       f.reason AS reason, f.at AS failed_at
FROM lake.images
LEFT JOIN (
    SELECT image_id, max_by({'name': model_name, 'version': model_version, 'circles': circle_count,
                             'latency': latency_ms, 'at': detected_at},
                            (coalesce(place, -1), detected_at, model_name, model_version)) AS d
    FROM lake.detections LEFT JOIN (SELECT model_name, model_version, max(log_offset) AS place
                                    FROM lake.promotions GROUP BY ALL) AS promoted USING (model_name, model_version)
    WHERE replay_id IS NULL OR place IS NOT NULL
    GROUP BY image_id) AS detected USING (image_id)
LEFT JOIN (
    SELECT image_id, max_by({'id': dead_letter_id, 'stage': stage, 'error': error, 'reason': reason, 'at': failed_at},
                            (failed_at, dead_letter_id)) AS f
    FROM lake.failures WHERE dead_letter_id NOT IN (SELECT dead_letter_id FROM lake.retries)
    GROUP BY image_id) AS failed USING (image_id)
WHERE {own}

-- name: circles
SELECT o.image_id, object_id, x, y, radius, score, x_min, y_min, x_max, y_max, o.model_name, o.model_version, uploaded_at,
       project_id, source_id
FROM lake.objects AS o JOIN ({images}) AS images ON o.image_id = images.image_id
     AND o.model_name = images.model_name AND o.model_version = images.model_version
