"""docs/cameras.md and the JSON schema say what the code does."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from vedette.cameras import outputs, parts, reference, schema
from vedette.cameras.json_schema import json_schema, keys_at
from vedette.runtime.plugins import names
from vedette.runtime.sinks._trigger import WINDOW
from vedette.runtime.sources import SourceOptions
from vedette.runtime.tasks import Config as TaskConfig

DOCS = Path(__file__).parents[2] / "docs" / "cameras.md"
MODELS: list[type[BaseModel]] = [
    *(schema.Config, schema.Network, schema.Camera, parts.Secret, outputs.Outputs, outputs.Json),
    *(outputs.Recording, outputs.Events, outputs.Mqtt, outputs.Webhook, outputs.Serve),
]


def test_the_tables_are_those_of_the_schema() -> None:
    text = DOCS.read_text(encoding="utf-8")
    made = re.sub(r"\n{3,}", "\n\n", reference.replaced(text))
    assert text == made, "python -m vedette.cameras.reference docs/cameras.md"


def test_every_key_is_in_the_tables_with_its_default() -> None:
    """Straight from the models, past the JSON schema."""
    text = DOCS.read_text(encoding="utf-8")
    for model in MODELS:
        for name, field in model.model_fields.items():
            (row,) = [
                line
                for line in text.splitlines()
                if line.startswith(f"| `{field.alias or name}` |")
                and (field.description or "?").replace("|", "\\|") in line
            ][:1]
            if isinstance(field.default, int | float) and not isinstance(field.default, bool):
                assert f"| `{field.default}` |" in row
            assert ("| required |" in row) is field.is_required()


def test_defaults_are_those_of_the_runtime() -> None:
    camera, network = schema.Camera(source="x"), schema.Network(model="x")
    options = SourceOptions()
    assert (camera.open_timeout, camera.read_timeout) == (options.open_timeout_s, options.read_timeout_s)
    assert (camera.stride, camera.transport, camera.realtime) == (
        options.stride,
        options.transport,
        options.realtime,
    )
    assert network.max_det == TaskConfig().max_det


def test_the_backends_are_those_there_are() -> None:
    words = keys_at(("models", "any"))["backend"]["enum"]
    assert sorted(words) == sorted(["auto", *names("vedette.runtime.backends")])


def test_an_event_counts_among_as_many_frames_as_the_sink_looks_at() -> None:
    assert keys_at(("outputs", "events"))["min_frames"]["maximum"] == WINDOW


def walked(value: Any) -> list[dict[str, Any]]:
    found = [value] if isinstance(value, dict) else []
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return found + [part for item in items for part in walked(item)]


def test_the_json_schema_is_whole_and_strict() -> None:
    whole = json_schema()
    assert whole["$schema"].endswith("2020-12/schema")
    for part in walked(whole):
        if "$ref" in part:
            assert part["$ref"].removeprefix("#/$defs/") in whole["$defs"]
        if part.get("type") == "object" and "properties" in part:
            assert part["additionalProperties"] is False
        assert part.get("type") != "null"


def test_an_editor_and_we_agree() -> None:
    """An independent validator takes the documented example and refuses what we refuse."""
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(json_schema())
    check = jsonschema.Draft202012Validator(json_schema())
    example = yaml.safe_load(DOCS.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0])
    assert check.is_valid(example)
    assert not check.is_valid({**example, "serv": 1})
    assert not check.is_valid({"cameras": {"yard": {"source": "a", "stride": 0}}})
    assert check.is_valid({"cameras": {"yard": {"source": 0}}})
