-- What the view says of promotions: all have one key, so that the log orders them.

-- name: history
SELECT promotion_id, (model_name, model_version), (previous_name, previous_version), back, evidence, promoted_by, promoted_at
FROM lake.promotions ORDER BY log_offset DESC;

-- name: live
SELECT model_name, model_version FROM lake.detections WHERE replay_id IS NULL
ORDER BY detected_at DESC, model_name DESC, model_version DESC LIMIT 1;

-- name: coverage
SELECT count(*), count(*) FILTER (image_id IN (
    SELECT image_id FROM lake.detections WHERE model_name = $name AND model_version = $version))
FROM lake.images;
