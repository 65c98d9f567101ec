-- What the view says of replays. Those with {filters} are made of the conditions that a replay has (replays.py).

-- name: replays
-- Each with its newest change, newest first.
SELECT replay_id, model_name, model_version, project_id, source_id, since, until, images, sample, share,
       annotated, follow,
       calls_at_once, begins, ends, requested_by, requested_at, coalesce(c.state, 'running') AS state,
       coalesce(c.by, requested_by) AS changed_by,
       coalesce(c.at, requested_at) AS changed_at
FROM lake.replays LEFT JOIN (
    SELECT replay_id, max_by({'state': state, 'by': changed_by, 'at': changed_at}, log_offset) AS c
    FROM lake.replay_changes GROUP BY replay_id) AS changed USING (replay_id)
ORDER BY requested_at DESC, replay_id DESC;

-- name: running
-- Nothing else of them: finished ones become many, and may name many images.
SELECT replay_id FROM lake.replays WHERE replay_id NOT IN (
    SELECT replay_id FROM lake.replay_changes GROUP BY replay_id HAVING max_by(state, log_offset) <> 'running');

-- name: chosen
WITH ranges AS (SELECT unnest(range(len($begins))) AS log_partition, unnest($begins) AS low, unnest($ends) AS high),
chosen AS MATERIALIZED (
    SELECT image_id, log_partition, log_offset FROM lake.images JOIN ranges USING (log_partition)
    WHERE log_offset >= $low AND log_offset < $high AND log_offset >= low AND log_offset < high AND {filters}),
within AS MATERIALIZED (SELECT min(image_id) AS first, max(image_id) AS last FROM chosen),
-- What the model has said of them, in this replay or before it. The ranges over all let files be skipped.
detected AS (
    SELECT image_id FROM lake.detections WHERE model_name = $model_name AND model_version = $model_version
       AND image_id BETWEEN (SELECT first FROM within) AND (SELECT last FROM within)),
missed AS (SELECT image_id FROM lake.not_replayed WHERE replay_id = $replay_id)

-- name: project_id
project_id = $project_id
-- name: source_id
source_id = $source_id
-- name: since
uploaded_at >= $since
-- name: until
uploaded_at < $until
-- name: images
image_id IN (SELECT unnest($images))
-- name: annotated
-- Before it was requested, so that its images stay the same.
image_id IN (SELECT image_id FROM lake.annotations WHERE annotated_at < $requested_at)
-- name: share
-- Of their hashes (`replays.hashed`) those below a text.
md5(image_id::VARCHAR) < $below
-- name: sample
-- The last of the conditions: of those that meet all others.
true QUALIFY row_number() OVER (ORDER BY md5(image_id::VARCHAR || $replay_id::VARCHAR)) <= $sample

-- name: progress
SELECT count(*) AS images, count(*) FILTER (image_id IN (SELECT image_id FROM detected)) AS detected,
       count(*) FILTER (image_id IN (SELECT image_id FROM missed) AND image_id NOT IN (SELECT image_id FROM detected))
           AS missed
FROM chosen;

-- name: left
SELECT log_partition, log_offset, image_id FROM chosen
WHERE image_id NOT IN (SELECT image_id FROM detected) AND image_id NOT IN (SELECT image_id FROM missed)
ORDER BY log_partition, log_offset;

-- name: done
SELECT log_partition, log_offset, image_id IN (SELECT image_id FROM detected) AS is_detected FROM chosen
WHERE image_id IN (SELECT image_id FROM detected) OR image_id IN (SELECT image_id FROM missed);

-- name: backlog
SELECT log_partition, min(log_offset) FROM chosen GROUP BY log_partition;

-- name: counted
SELECT (SELECT count(*) FROM lake.detections WHERE replay_id = $replay_id),
       (SELECT count(*) FROM lake.not_replayed WHERE replay_id = $replay_id);

-- name: first_upload
SELECT min(uploaded_at) FROM lake.images WHERE image_id IN (SELECT image_id FROM chosen);

-- name: missed
SELECT image_id, error, reason, failed_at FROM lake.not_replayed WHERE replay_id = $replay_id
ORDER BY failed_at, image_id LIMIT $count;
