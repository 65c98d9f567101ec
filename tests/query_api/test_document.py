"""The OpenAPI document says of every operation what it is, what it answers and how it can fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs  # schemathesis brings it
import pytest
from pydantic import SecretStr

from query_api.app import create_app
from streams.settings import Settings

NO_JSON = ("get_content", "get_thumbnail", "get_overlay", "follow_changes", "follow_replay", "get_metrics")


def document(auth: str, **more: object) -> dict[str, Any]:
    settings = Settings(
        kafka_bootstrap_servers="127.0.0.1:1", catalog_url=SecretStr("postgresql://u:x@127.0.0.1:1/d")
    )
    return create_app(settings.model_copy(update={"auth": auth, **more})).openapi()


@pytest.fixture(scope="module", params=["off", "on"])
def described(request: pytest.FixtureRequest) -> dict[str, Any]:
    return document(request.param)


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_each_operation_has_an_id_a_summary_and_described_answers(described: dict[str, Any]) -> None:
    found = dict(operations(described))
    ids = [operation["operationId"] for operation in found.values()]
    assert len(set(ids)) == len(ids) == 36
    for name, operation in found.items():
        assert operation["summary"] and operation["description"], name
        (first,) = (s for s in operation["responses"] if s in ("200", "201"))
        content = operation["responses"][first]["content"]
        assert ("application/json" in content) == (operation["operationId"] not in NO_JSON), name
        for media, answer in content.items():
            typed = media not in ("application/json", "text/event-stream")
            assert not typed or answer["schema"]["type"] == "string", name
        assert next(iter(content)) == "application/json" or operation["operationId"] in NO_JSON, name


def test_each_answer_that_is_text_has_an_example_that_is_one(described: dict[str, Any]) -> None:
    shared = {"components": described["components"]}
    for name, operation in operations(described):
        for status, answer in operation["responses"].items():
            for media, shown in answer.get("content", {}).items():
                if media in ("application/json", "application/problem+json"):
                    jsonschema_rs.validate(shown["schema"] | shared, shown["example"], validate_formats=True)
                elif media in ("text/event-stream", "text/plain"):
                    assert isinstance(shown["example"], str), (name, status)


def test_no_parameter_is_said_to_take_null(described: dict[str, Any]) -> None:
    """A URL has none; whoever sent the word would be refused."""
    for name, operation in operations(described):
        for parameter in operation.get("parameters", ()):
            assert {"type": "null"} not in parameter["schema"].get("anyOf", ()), (name, parameter["name"])


def test_every_read_of_an_image_can_wait_for_it_and_be_of_the_past(described: dict[str, Any]) -> None:
    for name, operation in operations(described):
        if name.startswith(
            ("get /images", "get /objects", "get /statistics", "get /comparisons", "post /sql")
        ):
            assert {"after", "as_of"} <= {each["name"] for each in operation["parameters"]}, name


def test_an_upload_by_url_is_described_where_it_is_allowed() -> None:
    for allowed in (False, True):
        upload = document("off", upload_by_url=allowed)["paths"]["/images/"]["post"]
        assert ("application/json" in upload["requestBody"]["content"]) == allowed


def test_each_error_is_problem_details(described: dict[str, Any]) -> None:
    for name, operation in operations(described):
        errors = {s: a for s, a in operation["responses"].items() if s >= "400"}
        assert "500" in errors, name
        for status, answer in errors.items():
            assert answer["description"], name
            own = name == "get /health/ready" and status == "503"
            assert ("application/problem+json" in answer["content"]) != own, (name, status)


def test_guarded_operations_say_how_a_caller_is_refused() -> None:
    for name, operation in operations(document("on")):
        guarded = "health" not in name
        assert ({"401", "403", "429"} <= operation["responses"].keys()) == guarded, name


def test_every_reference_leads_to_a_schema(described: dict[str, Any]) -> None:
    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            for key, value in part.items():
                if key == "$ref":
                    yield value
                else:
                    yield from references(value)
        elif isinstance(part, list):
            for each in part:
                yield from references(each)

    named = {reference.removeprefix("#/components/schemas/") for reference in references(described)}
    assert named == named & described["components"]["schemas"].keys()
    assert {"Problem", "Image", "Found"} <= named
