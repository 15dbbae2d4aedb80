"""`vedette zoo`: the networks in the box."""

from typing import Annotated, Any

import typer


def zoo(json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False) -> int:
    """List the bundled networks: task, size, licence, how they were made, measured accuracy."""
    from vedette.runtime.find import zoo_names

    rows = [_row(name) for name in zoo_names()]
    if json:
        import json as format_json

        print(format_json.dumps(rows, indent=1))
        return 0
    from vedette.commands._tables import table

    columns = ("name", "task", "size_mb", "licence", "accuracy", "provenance")
    table("the zoo", columns, [[str(row[column]) for column in columns] for row in rows])
    return 0


def _row(name: str) -> dict[str, Any]:
    """One line of the list, from the manifest; a model that was not made yet is made now."""
    from vedette.runtime.find import find_model
    from vedette.runtime.opening import card_of

    path = find_model(name)
    card, size = card_of(path)
    return {
        "name": card.name,
        "task": card.task,
        "size_mb": round(size / 1e6, 1),
        "licence": card.licence,
        "accuracy": card.accuracy,
        "provenance": card.provenance,
        "labels": len(card.labels),
        "precision": card.precision,
        "path": str(path),
    }
