"""The tables of docs/cameras.md, made from the schema.

Run: python -m vedette.cameras.reference docs/cameras.md    (writes them anew between the two marks)
"""

import re
import sys
from pathlib import Path
from typing import Any

from vedette.cameras.json_schema import json_schema

BEGIN, END = "<!-- made by vedette.cameras.reference -->", "<!-- until here -->"
HEADINGS = {
    "Config": "The file",
    "Network": "`models`: NAME",
    "Camera": "`cameras`: NAME",
    "Secret": "Secrets",
    "Outputs": "`outputs`",
    "Json": "`outputs.json`",
    "Recording": "`outputs.recording`",
    "Events": "`outputs.events`",
    "Mqtt": "`outputs.mqtt`",
    "Webhook": "`outputs.webhook`",
    "Serve": "`serve`",
}


def reference() -> str:
    """A table of keys for each kind of mapping."""
    schema = json_schema()
    kinds = {"Config": schema, **schema["$defs"]}
    assert set(kinds) == set(HEADINGS), "a kind of mapping has no heading here"
    return "\n".join(_section(heading, kinds[name]) for name, heading in HEADINGS.items())


def replaced(text: str) -> str:
    """A document with the tables between its marks made anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n{reference()}\n{end}{after}"


def _section(heading: str, schema: dict[str, Any]) -> str:
    mapping = next((part for part in schema.get("anyOf", []) if "properties" in part), schema)
    required = set(mapping.get("required", []))
    rows = [_row(name, key, needed=name in required) for name, key in mapping["properties"].items()]
    about = mapping.get("description", "")
    lines = [
        f"### {heading}",
        "",
        about,
        "",
        "| key | value | default | meaning |",
        "|---|---|---|---|",
        *rows,
    ]
    return "\n".join([*lines, ""])


def _row(name: str, key: dict[str, Any], *, needed: bool) -> str:
    default = "required" if needed else _default(key.get("default"))
    cells = (f"`{name}`", _kind(key), default, key["description"].replace("|", "\\|"))
    return f"| {' | '.join(cells)} |"


def _default(value: Any) -> str:
    if value is None or value in ([], {}) or isinstance(value, dict):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _kind(key: dict[str, Any]) -> str:
    """What may stand there, in words."""
    if "$ref" in key:
        name = key["$ref"].rpartition("/")[2]
        short = "anyOf" in json_schema()["$defs"][name]
        return "secret" if name == "Secret" else "keys, or text" if short else "keys"
    if "enum" in key:
        return ", ".join(f"`{word}`" for word in key["enum"])
    choices = [*key.get("anyOf", []), *key.get("oneOf", [])]
    if choices:
        return " or ".join(dict.fromkeys(_kind(choice) for choice in choices))
    if key["type"] == "array":
        return f"list of {_kind(key['items']) if 'items' in key else 'words'}"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true, false"}
    return f"{words.get(key['type'], 'keys')}{_limits(key)}"


def _limits(key: dict[str, Any]) -> str:
    low = key.get("minimum", key.get("exclusiveMinimum"))
    if low is None or "maximum" not in key:
        return ""
    return f", {'above ' if 'exclusiveMinimum' in key else ''}{low:g} to {key['maximum']:g}"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(
        re.sub(r"\n{3,}", "\n\n", replaced(target.read_text(encoding="utf-8"))), encoding="utf-8"
    )
