-- What `circles compare` reads, all of it as of one snapshot: first which images there are, then their circles in
-- chunks of images that follow each other, so that files are skipped by the range of their ids.

-- name: known
SELECT DISTINCT model_name, model_version FROM lake.detections AT (VERSION => $snapshot)
WHERE $project IS NULL OR project_id = $project;

-- name: seen
-- Images that pass the filters, and how many circles each of two versions found in them: NULL where it has not looked.
CREATE OR REPLACE TEMP TABLE seen AS
WITH by_a AS (SELECT image_id, circle_count AS a FROM lake.detections AT (VERSION => $snapshot)
              WHERE model_name = $a_name AND model_version = $a_version),
by_b AS (SELECT image_id, circle_count AS b FROM lake.detections AT (VERSION => $snapshot)
         WHERE model_name = $b_name AND model_version = $b_version)
SELECT image_id, a, b, source_id, uploaded_at
FROM by_a FULL JOIN by_b USING (image_id)
LEFT JOIN lake.images AS images AT (VERSION => $snapshot) USING (image_id)
WHERE {filters}
-- name: source
source_id = $source
-- name: project
project_id = $project
-- name: since
uploaded_at >= $since
-- name: until
uploaded_at < $until

-- name: counted
SELECT count(*) FILTER (a IS NOT NULL AND b IS NOT NULL), count(*) FILTER (b IS NULL), count(*) FILTER (a IS NULL)
FROM seen;

-- name: only_a
SELECT image_id FROM seen WHERE b IS NULL ORDER BY image_id LIMIT $count;

-- name: only_b
SELECT image_id FROM seen WHERE a IS NULL ORDER BY image_id LIMIT $count;

-- name: common
CREATE OR REPLACE TEMP TABLE common AS
SELECT (row_number() OVER before - 1)::INTEGER AS n, (sum(a + b + 1) OVER before // $at_once)::BIGINT AS chunk,
       image_id, source_id, uploaded_at
FROM seen WHERE a IS NOT NULL AND b IS NOT NULL
WINDOW before AS (ORDER BY image_id ROWS UNBOUNDED PRECEDING)
ORDER BY image_id;

-- name: chunks
SELECT min(n), max(n) + 1, min(image_id), max(image_id) FROM common GROUP BY chunk ORDER BY ALL;

-- name: images
SELECT image_id, source_id, uploaded_at FROM common WHERE n >= $begin AND n < $end ORDER BY n;

-- name: annotated
-- Of those the ones with ground truth, each with its newest.
CREATE OR REPLACE TEMP TABLE annotated AS
SELECT (row_number() OVER (ORDER BY image_id) - 1)::INTEGER AS n, image_id, source_id, uploaded_at, annotation_id
FROM common JOIN (SELECT image_id, max_by(annotation_id, log_offset) AS annotation_id
                  FROM lake.annotations AT (VERSION => $snapshot) GROUP BY image_id) USING (image_id);

-- name: places
-- Where and when they were uploaded, by the hour of the day in UTC.
SELECT source_id, hour(uploaded_at) FROM annotated ORDER BY n;

-- name: truth
SELECT n AS image, object_id, x, y, radius, 1::FLOAT AS score, x_min, y_min, x_max, y_max
FROM lake.annotated AT (VERSION => $snapshot) JOIN annotated USING (annotation_id);

-- name: looked
SELECT n AS image, object_id, x, y, radius, score, x_min, y_min, x_max, y_max
FROM lake.objects AT (VERSION => $snapshot) JOIN annotated USING (image_id)
WHERE model_name = $name AND model_version = $version ORDER BY n, score DESC, object_id;

-- name: circles
SELECT n - $begin AS image, {columns}
FROM lake.objects AT (VERSION => $snapshot)
JOIN (SELECT n, image_id FROM common WHERE n >= $begin AND n < $end) USING (image_id)
WHERE image_id >= $first AND image_id <= $last AND model_name = $name AND model_version = $version
  AND score >= $min_score::FLOAT;

-- name: pictured
SELECT list_position($images::UUID[], image_id) - 1 AS n, uri, sha256, size_bytes, width, height
FROM lake.images AT (VERSION => $snapshot) WHERE image_id IN (SELECT unnest($images::UUID[]));

-- name: drawn
SELECT list_position($images::UUID[], image_id) - 1 AS image, x, y, radius, score, x_min, y_min, x_max, y_max
FROM lake.objects AT (VERSION => $snapshot)
WHERE image_id IN (SELECT unnest($images::UUID[])) AND model_name = $name AND model_version = $version
  AND score >= $min_score::FLOAT;

-- name: drawn_truth
-- The newest annotation's circles; of an annotation without any a row with NULL.
SELECT list_position($images::UUID[], image_id) - 1 AS image, x, y, radius
FROM (SELECT image_id, max_by(annotation_id, log_offset) AS annotation_id
      FROM lake.annotations AT (VERSION => $snapshot)
      WHERE image_id IN (SELECT unnest($images::UUID[])) GROUP BY image_id)
LEFT JOIN (SELECT annotation_id, x, y, radius FROM lake.annotated AT (VERSION => $snapshot)) USING (annotation_id);
