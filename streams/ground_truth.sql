-- What `circles annotations` asks the view. `batch` is a registered Arrow table.

-- name: matches
-- The images that each of some entries may mean, by what names them: 1 its id, 2 its bytes, 3 the name of its file,
-- which is the last part of `uri`, or what whoever uploaded it wrote into the attribute `file_name`.
WITH image AS MATERIALIZED (
    SELECT image_id, project_id, width, height, sha256, regexp_extract(uri, '[^/]*$') AS name,
           attributes::JSON ->> 'file_name' AS named
    FROM lake.images AT (VERSION => $snapshot) WHERE $project IS NULL OR project_id = $project),
found AS (
    SELECT entry, 1 AS rank, image.* FROM batch JOIN image USING (image_id)
    UNION ALL SELECT entry, 2, image.* FROM batch JOIN image USING (sha256)
    UNION ALL SELECT entry, 3, image.* FROM batch JOIN image ON batch.name = image.name
    UNION ALL SELECT entry, 3, image.* FROM batch JOIN image ON batch.name = image.named AND batch.name <> image.name)
SELECT entry, rank, image_id, project_id, width, height FROM found ORDER BY entry, rank, image_id;

-- name: newest
-- The newest annotation of each image that is chosen, a row for each of its circles.
WITH image AS MATERIALIZED (
    SELECT * FROM lake.images AT (VERSION => $snapshot) WHERE {chosen}),
annotation AS MATERIALIZED (
    SELECT * FROM lake.annotations AT (VERSION => $snapshot) WHERE image_id IN (SELECT image_id FROM image)
    QUALIFY row_number() OVER (PARTITION BY image_id ORDER BY log_offset DESC) = 1),
circle AS (
    SELECT * FROM lake.annotated AT (VERSION => $snapshot)
    WHERE annotation_id IN (SELECT annotation_id FROM annotation))
SELECT image.image_id, image.sha256, image.width, image.height, image.project_id, image.source_id,
       CASE WHEN starts_with(uri, $store) THEN substr(uri, length($store) + 1)
            ELSE regexp_replace(uri, '^\w+://[^/]*/', '') END AS file_name,
       annotation.annotation_id, annotator, annotated_at, model_name, model_version, drawn_as,
       x, y, radius, x_min, y_min, x_max, y_max
FROM annotation JOIN image USING (image_id) LEFT JOIN circle USING (annotation_id)
ORDER BY image.image_id, radius DESC, object_id;

-- name: of_batch
image_id IN (SELECT image_id FROM batch)

-- name: filtered
($project IS NULL OR project_id = $project) AND ($source IS NULL OR source_id = $source)
AND ($since IS NULL OR uploaded_at >= $since) AND ($until IS NULL OR uploaded_at < $until)

-- name: versions
SELECT annotated_at, annotator, model_name || ':' || model_version AS model, drawn_as, circle_count, annotation_id
FROM lake.annotations WHERE image_id = $image ORDER BY log_offset DESC;

-- name: image
SELECT image_id FROM lake.images WHERE image_id = $image;
