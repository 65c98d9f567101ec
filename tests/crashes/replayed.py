"""What several versions have found in the same images, where all of them find the same: row by row."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from streams.reevaluation import ReplayRequested

LIVE, CALM = "1", "calm"
"""The version that detects what comes in, and the one of the replay that nobody disturbs."""
SAID = {
    "detections": "image_id, project_id, circle_count, source_partition, source_offset",
    "objects": "image_id, x, y, radius, score, x_min, y_min, x_max, y_max",
}
"""What versions of one mind say alike."""


def differences(view: duckdb.DuckDBPyConnection, disturbed: Mapping[str, ReplayRequested]) -> dict[str, int]:
    """Rows lost, and double or wrong, of each version against the undisturbed one, which is of all images.

    disturbed: the replay of each version, which is of the images before its end.
    """

    def number(sql: str) -> int:
        return int(view.execute(sql).fetchall()[0][0])

    found = {
        "live, and not by the live version": number(
            f"SELECT count(*) FROM lake.detections WHERE (replay_id IS NULL) <> (model_version = '{LIVE}')"  # noqa: S608
        ),
        "circles with one id": number("SELECT count(*) - count(DISTINCT object_id) FROM lake.objects"),
        "failed": number("SELECT count(*) FROM lake.failures"),
        "could not be replayed": number("SELECT count(*) FROM lake.not_replayed"),
    }
    asked = {LIVE: "true"} | {version: _before_its_end(replay) for version, replay in disturbed.items()}
    for version, images in asked.items():
        for table, columns in SAID.items():
            mine = f"SELECT {columns} FROM lake.{table} WHERE model_version = '{version}'"  # noqa: S608
            right = (
                f"SELECT {columns} FROM lake.{table} WHERE model_version = '{CALM}'"  # noqa: S608
                f" AND image_id IN (SELECT image_id FROM lake.images WHERE {images})"
            )
            for what, one, other in (("lost", right, mine), ("double or wrong", mine, right)):
                rows = number(f"SELECT count(*) FROM (({one}) EXCEPT ALL ({other}))")  # noqa: S608
                found[f"version {version}: {table} {what}"] = rows
    found["images without the calm replay"] = number(
        "SELECT count(*) FROM lake.images WHERE image_id NOT IN"  # noqa: S608
        f" (SELECT image_id FROM lake.detections WHERE model_version = '{CALM}')"
    )
    return found


def _before_its_end(replay: ReplayRequested) -> str:
    return f"log_offset < list_extract({list(replay.ends)}, log_partition + 1)"
