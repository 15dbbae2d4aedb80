"""All rounds of all combinations: in turn, A B A B, each in a fresh process, so that a slow minute meets them all.

In: what is asked for.  Out: Rows.  Next: child.py, record.py.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from vedette.runtime.errors import redact_uri
from vedette.runtime.measuring.child import in_child
from vedette.runtime.measuring.measure import Round, Spec
from vedette.runtime.measuring.record import Row, row_of
from vedette.runtime.sources.synthetic import SCHEME

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Sweep:
    """The combinations that are asked for."""

    backends: tuple[str, ...] = ("auto",)
    batches: tuple[int, ...] = (1,)
    streams: tuple[int, ...] = ()  # none: as many as a batch needs
    threads: tuple[int, ...] = (1,)


def specs_of(sweep: Sweep, spec: Spec) -> tuple[list[Spec], list[str]]:
    """A Spec for each combination that can be run, and why the others cannot."""
    made, skipped = [], []
    for backend, batch, threads in itertools.product(sweep.backends, sweep.batches, sweep.threads):
        for streams in sweep.streams or (batch,):
            if streams < batch:
                skipped.append(f"batch {batch} of {streams} streams: a batch holds one frame of a stream")
            else:
                made.append(replace(spec, backend=backend, batch=batch, streams=streams, threads=threads))
    return made, list(dict.fromkeys(skipped))


def measured(
    specs: Sequence[Spec],
    *,
    rounds: int = ROUNDS,
    run: Callable[[Spec], Round] = in_child,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[list[Row], Round]:
    """Measure them.

    Args:
        specs: of each combination; its seconds are shared by its rounds.
        rounds: of each.
        run: measures one round.
        tell: is told what comes next.

    Returns:
        A row for each, and one of the rounds.

    Raises:
        VedetteError: as a round.
    """
    found: list[list[Round]] = [[] for _ in specs]
    for number, (index, spec) in _in_turn(specs, rounds):
        tell(f"round {number + 1} of {rounds}: {told(spec)}")
        found[index].append(run(replace(spec, number=number, seconds=spec.seconds / rounds)))
    rows = [row_of(spec, each) for spec, each in zip(specs, found, strict=True)]
    return rows, found[0][0]


def _in_turn(specs: Sequence[Spec], rounds: int) -> Iterator[tuple[int, tuple[int, Spec]]]:
    """Every other round backwards: what comes after what is not always the same."""
    for number in range(rounds):
        each = list(enumerate(specs))
        yield from ((number, one) for one in (each if number % 2 == 0 else each[::-1]))


def told(spec: Spec) -> str:
    """A combination in words."""
    return f"{spec.backend}, batch {spec.batch}, streams {spec.streams}, threads {spec.threads}"


def source_name(uri: str) -> str:
    """What a record says of a source: no folder, and of an address its scheme alone."""
    scheme, separator, _ = uri.partition("://")
    if separator and scheme.lower() != "file":
        return f"{scheme.lower()}://"
    if uri.lower().startswith(SCHEME):
        return uri
    return PurePath(redact_uri(uri)).name or "."


def command_line(arguments: Sequence[str]) -> str:
    """The words of a command line, paths without their folders and addresses without what follows the scheme."""
    return " ".join(_word(argument) for argument in arguments)


def _word(argument: str) -> str:
    flag, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return flag + equals + (source_name(value) if "/" in value else value)
