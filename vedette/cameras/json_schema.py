"""The JSON schema (draft 2020-12) of a cameras file, for editors and for errors that name the keys there are."""

from functools import cache
from typing import Any

from vedette.cameras.problems import Loc

DRAFT = "https://json-schema.org/draft/2020-12/schema"


@cache
def json_schema() -> dict[str, Any]:
    """The schema of a whole file. No key takes null: a key without a value is a mistake."""
    from vedette.cameras.schema import Config

    made: dict[str, Any] = _without_null(Config.model_json_schema())
    return {"$schema": DRAFT, **made, "title": "Vedette cameras"}


def _without_null(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without_null(item) for key, item in value.items() if not _is_noise(key, item)}
    choices = [choice for choice in kept.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        del kept["anyOf"]
        return {**choices[0], **kept}
    return {**kept, "anyOf": choices} if choices else kept


def _is_noise(key: str, item: Any) -> bool:
    return (key == "default" and (item is None or isinstance(item, dict))) or (
        key == "title" and isinstance(item, str)
    )


def keys_at(loc: Loc) -> dict[str, Any]:
    """The keys that a mapping may have, each with its schema; none where any key goes."""
    schema = json_schema()
    for part in loc:
        schema = _below(_resolved(schema), part)
    return dict(_resolved(schema).get("properties", {}))


def _below(schema: dict[str, Any], part: str | int) -> dict[str, Any]:
    if isinstance(part, int):
        return dict(schema.get("items", {}))
    patterns = list(schema.get("patternProperties", {}).values())
    open_ended = patterns[0] if patterns else schema.get("additionalProperties")
    found: Any = schema.get("properties", {}).get(part, open_ended)
    return found if isinstance(found, dict) else {}


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The mapping that a schema refers to, also where a text may stand for it."""
    if "$ref" in schema:
        return _resolved(json_schema()["$defs"][schema["$ref"].rpartition("/")[2]])
    choices = [_resolved(choice) for choice in [*schema.get("anyOf", []), *schema.get("oneOf", [])]]
    return next((choice for choice in choices if choice.get("type") == "object"), schema)
