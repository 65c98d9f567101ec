"""The columns of lists, and the fields that have them in JSON."""

from __future__ import annotations

IMAGE = (
    "image_id", "project_id", "source_id", "content_type", "width", "height", "size_bytes", "sha256",
    "captured_at", "uploaded_at", "attributes", "status",
)  # fmt: skip
DETECTION = ("model_name", "model_version", "circle_count", "latency_ms", "detected_at")
FAILURE = ("dead_letter_id", "stage", "error", "reason")
CIRCLE = (
    "image_id", "object_id", "x", "y", "radius", "score", "x_min", "y_min", "x_max", "y_max", "model_name",
    "model_version", "uploaded_at", "project_id", "source_id",
)  # fmt: skip
IMAGE_FIELDS = {name: (name,) for name in IMAGE} | {"detection": DETECTION, "failure": FAILURE}
BBOX, CENTROID = ("x_min", "y_min", "x_max", "y_max"), ("x", "y")
CIRCLE_FIELDS = {
    name: (name,) for name in CIRCLE if name not in BBOX + CENTROID
} | {"bbox": BBOX, "centroid": CENTROID}  # fmt: skip
"""Columns by the field that has them in JSON."""
