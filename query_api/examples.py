"""What the OpenAPI document shows of answers and problems: those of one image, so that they fit together."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from streams.topics import UPLOADED

IMAGE_ID, OBJECT_ID = "01939f3e-8a00-7c3f-9d52-6f1c0e8a4b21", "5d1c0d3e-9a1b-5c6d-8e7f-0a1b2c3d4e5f"
REPLAY_ID = "0193b2c0-0000-7000-8000-000000000001"
ANNOTATION_ID, ANNOTATED_AT = "01939f40-1f00-7b1c-8d2e-3f4a5b6c7d8e", "2026-01-31T12:01:00+00:00"
UPLOADED_AT, DETECTED_AT = "2026-01-31T12:00:00.125000+00:00", "2026-01-31T12:00:00.250000+00:00"
BBOX, CENTROID, RADIUS = [10.0, 10.0, 50.0, 50.0], [30.0, 30.0], 20.0
MODEL = {"model_name": "circles", "model_version": "2"}
SEEN = {"snapshot": "lake_1.1207", "watermark": "3-1208", "age_s": 0.031}

_box = {"object_id": OBJECT_ID, "bbox": BBOX}
_circle = {**_box, "centroid": CENTROID, "radius": RADIUS}
_found = {**_circle, "score": 0.97}
_listed = {
    "image_id": IMAGE_ID,
    "project_id": "default",
    "source_id": "gate",
    "content_type": "image/jpeg",
    "width": 640,
    "height": 480,
    "size_bytes": 48213,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "captured_at": "2026-01-31T11:59:59+00:00",
    "uploaded_at": UPLOADED_AT,
    "attributes": {"lane": "3"},
    "status": "detected",
    "detection": {**MODEL, "count": 1, "latency_ms": 8.25, "detected_at": DETECTED_AT},
    "failure": None,
}
_uploaded = {
    "image_id": IMAGE_ID,
    "detection": {"detections": [{**_circle, "centroid": {"x": 30.0, "y": 30.0}}], "count": 1},
}
_parts = {"catalog": "ok", "view": "ok", "log": "ok", "store": "ok"}

_replay = {
    "replay_id": REPLAY_ID, "model": "circles:2", "state": "running", "changed_by": "anna",
    "changed_at": DETECTED_AT, "requested_by": "anna", "requested_at": DETECTED_AT, "since": None,
    "until": None, "source": "gate", "project": None, "images": None, "sample": None,
    "share": None, "follow": False, "only_with_ground_truth": False, "calls_at_once": 2,
}  # fmt: skip
_progress = {"images": 812, "detected": 400, "missed": 1, "left": 411, "waiting_since": None}
_missed = {
    "image_id": IMAGE_ID, "error": "ObjectUnreadable", "reason": "file:///images/a.png does not exist",
    "failed_at": DETECTED_AT,
}  # fmt: skip
_promotion = {
    "promotion_id": REPLAY_ID, "version": "circles:2", "previous": "circles:1", "back": False,
    "evidence": {
        "images": 812, "detected": 812,
        "required": {"f1@.5 >= .95": "0.972 (0.961 to 0.981) on 100 images"},
    },
    "promoted_by": "anna", "promoted_at": DETECTED_AT,
}  # fmt: skip

_counts = {
    "images": 812, "unchanged": 640, "changed": 172, "only_moved": 101, "a_circles": 1000, "b_circles": 1031,
    "matched": 980, "gained": 51, "lost": 20, "moved": 120, "worst_image": IMAGE_ID,
}  # fmt: skip
_change = {
    "image_id": IMAGE_ID, "source_id": "gate", "uploaded_at": UPLOADED_AT, "a_circles": 4, "b_circles": 6,
    "gained": 2, "lost": 0, "moved": 1, "largest_shift_px": 1.25, "largest_radius_change_px": 0.5,
    "largest_score_change": 0.125,
}  # fmt: skip
_spread = {"median": 0.5, "p90": 1.25, "max": 4.25, "mean": 0.5, "max_image": IMAGE_ID}
_measure = {
    "name": "f1 @ 0.5", "a": {"value": 0.901, "low": 0.885, "high": 0.916},
    "b": {"value": 0.932, "low": 0.92, "high": 0.944},
    "difference": {"value": 0.031, "low": 0.019, "high": 0.042}, "b_is": "better",
}  # fmt: skip

_group = {"images": 100, "annotated": 412}


def _statistics(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"rows": list(rows), "count": len(rows), **SEEN}


ANSWERS: Mapping[str, Any] = {
    "upload_image": _uploaded,
    "upload_image_without_slash": _uploaded,
    "list_images": {"images": [_listed], "count": 1, "next": None, **SEEN},
    "list_objects": {
        "objects": [
            {
                **_found, "image_id": IMAGE_ID, **MODEL, "uploaded_at": UPLOADED_AT, "project_id": "default",
                "source_id": "gate",
            }
        ],
        "count": 1, "next": None, **SEEN,
    },
    "count_images": _statistics(
        {
            "bucket": "2026-01-31T12:00:00+00:00", "source_id": "gate", "images": 12, "detected": 11,
            "failed": 1, "pending": 0, "without_circles": 2, "circles": 42,
        }
    ),
    "get_latencies": _statistics(
        {
            "images": 11, "model_ms_p50": 8.25, "model_ms_p90": 11.5, "model_ms_p99": 12.0,
            "upload_to_detected_ms_p50": 130.0, "upload_to_detected_ms_p90": 180.0,
            "upload_to_detected_ms_p99": 195.0,
        }
    ),
    "count_radii": _statistics({"from_value": 20.0, "to_value": 25.0, "circles": 42}),
    "count_scores": _statistics({"from_value": 0.95, "to_value": 1.0, "circles": 42}),
    "query_by_sql": _statistics({"source_id": "gate", "images": 12, "circles": 3.5}),
    "get_objects_of_images": {
        "images": [{"image_id": IMAGE_ID, "status": "detected", "count": 1, "objects": [_found]}],
        "count": 1, "missing": [],
    },
    "list_objects_of_image": {"image_id": IMAGE_ID, "count": 1, "objects": [_box]},
    "get_object": _circle,
    "annotate_image": {
        "annotation_id": ANNOTATION_ID, "image_id": IMAGE_ID, "annotated_at": ANNOTATED_AT, "count": 1,
    },
    "list_annotations": {
        "image_id": IMAGE_ID,
        "annotation": {
            "annotation_id": ANNOTATION_ID, "annotator": "anna", "annotated_at": ANNOTATED_AT,
            "from": "circles:2", "drawn_as": "circles", "count": 1, "circles": [_circle],
        },
    },
    "get_image": {**_listed, "objects": [_found]},
    "follow_changes": (
        f'id: lake_1.1207.3\nevent: detected\ndata: {{"image_id": "{IMAGE_ID}", "project_id": "default",'
        ' "source_id": "gate", "model_name": "circles", "model_version": "2", "count": 1,'
        f' "latency_ms": 8.25, "detected_at": "{DETECTED_AT}"}}\n\n'
    ),
    "get_health": {
        "status": "ok", "environment": "development", "mode": "real",
        "parts": {"api": "ok", "view": "ok", "log": "ok"},
    },
    "compare_versions": {
        "a": "circles:1", "b": "circles:2", "snapshot": 1207, "filters": {"source": "gate"}, "iou": "circle",
        "min_iou": 0.5, "moved_px": 1.0, "only_a": 0, "only_b": 0, "only_a_images": [], "only_b_images": [],
        "counts": _counts, "share_unchanged": 0.788, "shift_px": _spread,
        "radius_change_px": {**_spread, "mean": -0.073}, "score_change": {**_spread, "max": 0.5},
        "by_source": [{"source": "gate", **_counts}],
        "by_radius": [{"from_px": 20.0, "below_px": 40.0, **_counts}],
        "by_hour": [{"hour": "2026-01-31T12:00:00Z", **_counts}], "worst": [_change],
        "truth": {
            "images": 100, "annotated": 412, "measures": [_measure],
            "f1_by_source": [{**_measure, "name": "gate", **_group}],
            "f1_by_radius": [{**_measure, "name": "20 to below 40", **_group}],
            "f1_by_hour": [{**_measure, "name": "12:00Z", **_group}],
        },
    },
    "list_compared_images": {
        "images": [{**_change, "matched": 4, "changed": True, "only_moved": False}], "count": 1, "total": 172,
        **SEEN,
    },
    "list_replays": {"replays": [_replay], "count": 1},
    "start_replay": {**_replay, "progress": {**_progress, "detected": 0, "missed": 0, "left": 812}},
    "get_replay": {**_replay, "progress": _progress, "missed": [_missed]},
    "follow_replay": (
        'event: progress\ndata: {"state":"running","images":812,"detected":400,"missed":1,"left":411,'
        '"waiting_since":null}\n\n'
    ),
    "pause_replay": {**_replay, "state": "paused", "changed_by": "anna"},
    "resume_replay": {**_replay, "state": "running", "changed_by": "anna"},
    "cancel_replay": {**_replay, "state": "cancelled", "changed_by": "anna"},
    "list_promotions": {"current": "circles:2", "promotions": [_promotion], "count": 1},
    "promote": {"current": "circles:2", "previous": "circles:1", "images": 812, "detected": 812},
    "get_live": {"status": "live"},
    "get_ready": {"status": "ready", "parts": _parts},
    "get_config": {"mode": "real", "max_upload_size": 10_000_000},
    "get_status": {
        "images": 12, "detected": 11, "circles": 42, "dead_letters": 1, "pending": 0,
        "model_latency_ms": 8.25, "at": DETECTED_AT, "last_commit": DETECTED_AT, "said": [], "stages": [],
    },
    "get_metrics": "circles_api_uploads_under_way 0.0\n",
}  # fmt: skip
"""By operation; pictures and tables have none."""
DETAILS: Mapping[int, str] = {
    400: "after is the Circles-Position of an upload, like 3-1207, or at most 200 of them with commas",
    401: "no such API key, or it was revoked or has expired",
    403: "this needs the right read",
    404: f"there is no image {IMAGE_ID}",
    406: "Accept takes none of image/webp, image/jpeg",
    408: "the body came too slowly: it has 60 s, and at least 10000 bytes a second",
    409: f"the same bytes are already image {IMAGE_ID}",
    410: "that snapshot is not kept any more",
    413: "larger than 10000000 bytes, the most that one image may have",
    415: "send multipart/form-data with the image in the field 'file'",
    422: "limit: Input should be less than or equal to 500",
    429: "more than 100 per 1 minute; the next in 12 s",
    500: "an error that was not foreseen; the log has it",
    503: "try again soon: the view's catalog or file store does not answer",
    504: f"the view has not come to 3-1207 in 10 s: 12 more messages of {UPLOADED.name} have to be folded",
}
MORE: Mapping[int, Mapping[str, Any]] = {409: {"image_id": IMAGE_ID}, 504: {"lag": 12}}


def problem(status: int, path: str) -> dict[str, Any]:
    """The problem details of a status at a path, whose `{names}` are filled in."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": DETAILS[status],
        "instance": path.format(image_id=IMAGE_ID, object_id=OBJECT_ID, replay_id=REPLAY_ID),
        **MORE.get(status, {}),
    }
