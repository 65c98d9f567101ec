"""Imports point one way, names of topics have one place, and modules stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from streams.topics import TOPICS

ROOT = Path(__file__).parent.parent
PACKAGES = ("streams", "query_api", "detector", "schemas", "deploy")
MOST_LINES = 250
VOCABULARY = {
    f"streams.{name}"
    for name in (
        "records",
        "circles",
        "reevaluation",
        "ground_truth",
        "topics",
        "codec",
        "settings",
        "errors",
        "store",
        "lake",
        "lake_files",
        "ledger",
        "process",
        "schemas",
        "statements",
        "progress",
        "standing",
        "live_view",
        "version",
        "replays",
        "replay_progress",
        "replay_requests",
        "promotions",
    )
}


def modules(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def imported_names(path: Path) -> set[str]:
    """All that a file imports, wherever in it, for types only too."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)} imports relatively"
            for alias in node.names:
                member = f"{node.module}.{alias.name}"
                found.add(member if is_module(member) else str(node.module))
    return found


def imports(path: Path) -> set[str]:
    """The modules of ours that a file imports."""
    return {name for name in imported_names(path) if within(name, *PACKAGES, "tests", "bench")}


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def violations(*packages: str) -> Iterator[tuple[str, str]]:
    for path in modules(*packages):
        for imported in imports(path):
            yield name_of(path), imported


def test_the_check_sees_imports_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "import streams.lake, os\nfrom streams import errors\nfrom streams.codec import Codec\n"
        "def f():\n    from deploy.local import stack\n"
    )
    assert imports(path) == {"streams.lake", "streams.errors", "streams.codec", "deploy.local.stack"}


def test_the_detector_knows_only_itself() -> None:
    assert [v for v in violations("detector") if not within(v[1], "detector")] == []


@pytest.mark.parametrize("module", ["streams/circles.py", "streams/errors.py", "schemas/__init__.py"])
def test_circles_and_errors_know_nothing_of_ours(module: str) -> None:
    assert imports(ROOT / module) == set()


def test_the_records_know_nothing_but_circles_and_versions() -> None:
    assert imports(ROOT / "streams/version.py") == set()
    assert imports(ROOT / "streams/reevaluation.py") == {"streams.circles", "streams.version"}
    assert imports(ROOT / "streams/records.py") == {"streams.circles", "streams.reevaluation"}


def test_the_fold_is_pure() -> None:
    """It imports nothing that it could do I/O, tell the time or log with."""
    view = ROOT / "streams/views.py"
    assert imports(view) == {
        "streams.columns", "streams.detections", "streams.errors", "streams.kept", "streams.records",
        "streams.rows", "streams.topics",
    }  # fmt: skip
    assert imports(ROOT / "streams/kept.py") == {
        "streams.circles", "streams.records", "streams.reevaluation", "streams.rows",
    }  # fmt: skip
    assert imports(ROOT / "streams/rows.py") == {"streams.circles", "streams.detections", "streams.records"}
    assert imports(ROOT / "streams/detections.py") == {"streams.circles", "streams.columns"}
    assert imports(ROOT / "streams/columns.py") == set()
    pure = {
        "__future__", "base64", "collections", "dataclasses", "datetime", "numpy", "orjson", "pyarrow",
        "streams", "typing", "uuid",
    }  # fmt: skip
    assert {name.split(".")[0] for name in imported_names(view)} <= pure


def test_the_flow_knows_the_detector_only_to_look_at_an_upload_and_to_measure_with_its_ruler() -> None:
    for module, imported in violations("streams"):
        if within(module, "streams.ingest"):
            assert within(imported, "streams", "detector.images", "detector.errors"), (module, imported)
        elif within(module, "streams.evaluation"):
            assert within(imported, "streams", "detector.evaluation", "detector.circles"), (module, imported)
        else:
            assert within(imported, "streams"), (module, imported)


def test_stages_do_not_know_who_compares_what_they_did() -> None:
    stages = [v for v in violations("streams") if not within(v[0], "streams.evaluation")]
    assert [v for v in stages if within(v[1], "streams.evaluation")] == []


def test_a_comparison_reads_the_view_in_one_place() -> None:
    folder = modules("streams/evaluation")
    assert {path.stem for path in folder if "duckdb" in imported_names(path)} == {"reading", "compare"}
    assert {path.stem for path in folder if "streams.statements" in imported_names(path)} == {"reading"}


def test_stages_do_not_know_the_ways_in() -> None:
    stages = [v for v in violations("streams") if not within(v[0], "streams.ingest")]
    assert [v for v in stages if within(v[1], "streams.ingest")] == []


def test_the_query_api_takes_the_vocabulary_and_what_writes_to_the_log() -> None:
    allowed = (*VOCABULARY, "query_api", "streams.ingest", "detector.errors", "detector.images")
    comparing = ("streams.evaluation", "detector.evaluation")
    for module, imported in violations("query_api"):
        more = comparing if within(module, "query_api.comparing") else ()
        assert within(imported, *allowed, *more), (module, imported)


def test_nobody_imports_what_deploys() -> None:
    packages = [package for package in PACKAGES if package != "deploy"]
    assert [v for v in violations(*packages) if within(v[1], "deploy", "tests", "bench")] == []
    assert [v for v in violations("deploy") if within(v[1], "tests", "bench")] == []


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=name_of)
def test_a_module_stays_small(path: Path) -> None:
    lines = path.read_bytes().count(b"\n")
    assert lines <= MOST_LINES


def texts(path: Path) -> list[str]:
    """Text literals of a file, without its docstrings."""
    said = {id(node.value) for node in ast.walk(tree(path)) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said
    ]


def test_a_topics_name_is_written_in_one_place() -> None:
    names = {topic.name for topic in TOPICS}
    assert len(names) == len(TOPICS)
    writers = {name_of(p) for p in modules(*PACKAGES) for text in texts(p) for n in names if n in text}
    assert writers == {"streams.topics"}


def test_no_test_makes_up_its_collaborators() -> None:
    names = {"Mock", "MagicMock", "AsyncMock", "patch", "mock"}
    for path in modules("tests"):
        nodes = list(ast.walk(tree(path)))
        used = {node.id for node in nodes if isinstance(node, ast.Name)}
        used |= {alias.name for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for alias in n.names}
        assert not {name.split(".")[-1] for name in used} & names, path
