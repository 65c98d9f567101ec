-- What `circles export` reads. The rows of a table are its statement and, for each filter that is given, the
-- condition `<table>_<filter>`; a filter without one does not apply to that table.

-- name: images
SELECT * FROM lake.images AT (VERSION => $snapshot)
-- name: images_image_id
image_id = $image_id
-- name: images_project
project_id = $project
-- name: images_source
source_id = $source
-- name: images_since
uploaded_at >= $since
-- name: images_until
uploaded_at < $until

-- name: detections
SELECT * FROM lake.detections AT (VERSION => $snapshot)
-- name: detections_image_id
image_id = $image_id
-- name: detections_project
project_id = $project
-- name: detections_source
image_id IN (SELECT image_id FROM lake.images AT (VERSION => $snapshot) WHERE source_id = $source)
-- name: detections_model
model_name = $model
-- name: detections_version
model_version = $version
-- name: detections_since
detected_at >= $since
-- name: detections_until
detected_at < $until

-- name: objects
SELECT * FROM lake.objects AT (VERSION => $snapshot)
-- name: objects_image_id
image_id = $image_id
-- name: objects_project
image_id IN (SELECT image_id FROM lake.detections AT (VERSION => $snapshot) WHERE project_id = $project)
-- name: objects_source
image_id IN (SELECT image_id FROM lake.images AT (VERSION => $snapshot) WHERE source_id = $source)
-- name: objects_model
model_name = $model
-- name: objects_version
model_version = $version
-- name: objects_min_score
score >= $min_score
-- name: objects_since
(image_id, model_name, model_version) IN (SELECT (image_id, model_name, model_version)
    FROM lake.detections AT (VERSION => $snapshot) WHERE detected_at >= $since)
-- name: objects_until
(image_id, model_name, model_version) IN (SELECT (image_id, model_name, model_version)
    FROM lake.detections AT (VERSION => $snapshot) WHERE detected_at < $until)

-- name: failures
SELECT * FROM lake.failures AT (VERSION => $snapshot)
-- name: failures_image_id
image_id = $image_id
-- name: failures_project
project_id = $project
-- name: failures_since
failed_at >= $since
-- name: failures_until
failed_at < $until

-- name: parquet
FORMAT parquet, COMPRESSION zstd
-- name: csv
FORMAT csv, HEADER, TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%S.%fZ'
-- name: jsonl
FORMAT json, TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%S.%fZ'

-- name: images_in_jsonl
SELECT * REPLACE (attributes::JSON AS attributes) FROM chosen
-- name: failures_in_csv
SELECT * REPLACE (base64(message_key) AS message_key, base64(message_value) AS message_value,
    decode(headers) AS headers) FROM chosen
-- name: failures_in_jsonl
SELECT * REPLACE (base64(message_key) AS message_key, base64(message_value) AS message_value,
    decode(headers)::JSON AS headers) FROM chosen

-- name: coco
-- Images that a model has looked at, whether it found anything or not.
SELECT images.image_id, model_name, model_version
FROM lake.images AS images AT (VERSION => $snapshot)
JOIN lake.detections AS detections AT (VERSION => $snapshot) USING (image_id)
-- name: coco_image_id
images.image_id = $image_id
-- name: coco_project
images.project_id = $project
-- name: coco_source
images.source_id = $source
-- name: coco_model
model_name = $model
-- name: coco_version
model_version = $version
-- name: coco_since
images.uploaded_at >= $since
-- name: coco_until
images.uploaded_at < $until

-- name: numbered
-- COCO's readers want whole numbers for ids.
SELECT row_number() OVER (ORDER BY image_id) AS number, * FROM chosen

-- name: models
SELECT DISTINCT model_name, model_version FROM numbered ORDER BY ALL;

-- name: coco_images
SELECT to_json({
    id: number, file_name: CASE WHEN starts_with(uri, $store) THEN substr(uri, length($store) + 1)
        ELSE regexp_replace(uri, '^\w+://[^/]*/', '') END,
    width: width, height: height, coco_url: uri,
    date_captured: strftime(coalesce(captured_at, uploaded_at), '%Y-%m-%dT%H:%M:%S.%fZ'),
    image_id: image_id, project_id: project_id, source_id: source_id})::VARCHAR
FROM lake.images AT (VERSION => $snapshot) JOIN numbered USING (image_id);

-- name: coco_annotations
SELECT to_json({
    id: row_number() OVER (), image_id: number, category_id: 1, iscrowd: 0,
    bbox: [x_min::DOUBLE, y_min, x_max::DOUBLE - x_min, y_max::DOUBLE - y_min],
    area: (x_max::DOUBLE - x_min) * (y_max::DOUBLE - y_min),
    score: score, circle: {x: x, y: y, radius: radius}, object_id: object_id})::VARCHAR
FROM lake.objects AT (VERSION => $snapshot) JOIN numbered USING (image_id, model_name, model_version)
WHERE score >= $min_score;
