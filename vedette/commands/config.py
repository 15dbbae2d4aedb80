"""`vedette config`: is a cameras file right, and which keys may it have; nothing is connected to."""

import json as format_json
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from vedette.runtime.errors import UsageError


class Action(str, Enum):
    """What is done with the file."""

    CHECK = "check"
    SCHEMA = "schema"


def config(
    action: Annotated[
        Action, typer.Argument(help="Check a file, or write the JSON schema of all such files.")
    ],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="The cameras file to check; where to write the schema."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    no_secrets: Annotated[
        bool, typer.Option("--no-secrets", help="Do not look secrets up: they are on another machine.")
    ] = False,
) -> int:
    """Check a cameras file and say what it means, with a line a camera; or print its JSON schema."""
    if action is Action.SCHEMA:
        return _write_schema(file)
    if file is None:
        raise UsageError(
            "config check needs a file",
            why="there is nothing to check",
            cure="vedette config check cameras.yaml",
        )
    return _check_for_programs(file, secrets=not no_secrets) if json else _check(file, secrets=not no_secrets)


def _check(file: Path, *, secrets: bool) -> int:
    for row in _checked(file, secrets=secrets):
        models = ", ".join(row["models"]) or "no model"
        off = "" if row["enabled"] else ", off"
        print(f"{row['name']}: {row['source']}, {models}, {row['policy']}{off}")
    return 0


def _check_for_programs(file: Path, *, secrets: bool) -> int:
    from vedette.cameras.problems import ConfigError, Problem

    try:
        cameras, problems = _checked(file, secrets=secrets), list[dict[str, Any]]()
    except UsageError as error:
        first = Problem(0, 0, error.what, error.why, error.cure)  # of the file as a whole
        found = error.problems if isinstance(error, ConfigError) else (first,)
        names = Problem.__slots__
        cameras, problems = [], [{name: getattr(problem, name) for name in names} for problem in found]
    told = {"file": str(file), "ok": not problems, "errors": problems, "cameras": cameras}
    print(format_json.dumps(told, indent=1))
    return UsageError.exit_code if problems else 0


def _checked(file: Path, *, secrets: bool) -> list[dict[str, Any]]:
    """A line for each camera.

    Raises:
        ConfigError: all that is wrong.
    """
    from vedette.cameras.assemble import addresses_of, models_of
    from vedette.cameras.checks import missing_from
    from vedette.cameras.load import load
    from vedette.runtime.errors import redact_uri

    document = load(file, secrets=secrets)
    addresses = addresses_of(document) if secrets else {}
    plain = {
        name: camera.source
        for name, camera in document.config.cameras.items()
        if isinstance(camera.source, str)
    }
    faults = missing_from(document.config, {**plain, **addresses})
    if faults:
        raise document.error(faults)
    return [
        {
            "name": name,
            "source": redact_uri(plain.get(name, "a secret address")),
            "models": list(models_of(camera, document.config)),
            "policy": camera.policy or "latest if live, else all",
            "enabled": camera.enabled,
        }
        for name, camera in document.config.cameras.items()
    ]


def _write_schema(file: Path | None) -> int:
    from vedette.cameras.json_schema import json_schema

    text = format_json.dumps(json_schema(), indent=1, ensure_ascii=False)
    if file is None:
        print(text)
        return 0
    if file.suffix.lower() in {".yaml", ".yml"}:
        raise UsageError(
            f"will not write a schema over {file}",
            why="the file that is named is where the schema goes",
            cure="vedette config schema cameras.schema.json",
        )
    from vedette.runtime.draw import disk_error

    try:
        file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise disk_error(file, error) from None
    print(f"wrote {file}; first line of a cameras file: # yaml-language-server: $schema={file}")
    return 0
