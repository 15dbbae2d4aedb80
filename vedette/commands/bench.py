"""`vedette bench`: how fast a model runs here, where the time goes, and whether it became slower."""

import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from vedette.commands._bench import print_comparison, print_record
from vedette.commands.run import parse_size
from vedette.runtime.draw import write_bytes
from vedette.runtime.engine import choose_backend, cpu_threads
from vedette.runtime.errors import UsageError
from vedette.runtime.evaluation.report import prepare
from vedette.runtime.find import find_model
from vedette.runtime.measuring import record as records
from vedette.runtime.measuring.comparison import Comparison, compare
from vedette.runtime.measuring.machine import machine, versions
from vedette.runtime.measuring.measure import SINKS, Spec
from vedette.runtime.measuring.record import Record, Settings
from vedette.runtime.measuring.report import write
from vedette.runtime.measuring.rounds import ROUNDS, Sweep, command_line, measured, source_name, specs_of
from vedette.runtime.measuring.rules import TOLD, Rule, rules_of
from vedette.runtime.sinks._target import check_file

SOURCE = "synthetic:1920x1080@30"
REGRESSION = 7  # docs/decisions/0014-bench.md


def bench(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A zoo name, model file or bundle; or a record that --json wrote."
        ),
    ],
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Read over and over; a camera is taken at its own rate.")
    ] = SOURCE,
    seconds: Annotated[float, typer.Option(help="Of each combination, over all its rounds.")] = 10.0,
    rounds: Annotated[int, typer.Option(help="Fresh processes that share this time.")] = ROUNDS,
    batch: Annotated[str, typer.Option(help="Frames at once: numbers with commas between.")] = "1",
    streams: Annotated[str, typer.Option(help="Streams at once; else as many as a batch needs.")] = "",
    threads: Annotated[str, typer.Option(help="Of a CPU backend, with commas between; else as in run.")] = "",
    backend: Annotated[
        str, typer.Option(help="auto, onnxruntime, openvino or tensorrt, with commas between.")
    ] = "auto",
    sink: Annotated[
        str, typer.Option(help=f"What is done with results: {', '.join(SINKS)}, or none.")
    ] = "draw,json",
    policy: Annotated[str, typer.Option(help="latest or all; else latest for cameras, all for files.")] = "",
    imgsz: Annotated[str, typer.Option(help="Network input: SIDE or WIDTHxHEIGHT; else the model's.")] = "",
    conf: Annotated[float | None, typer.Option(help="Lowest score that is kept; else the task's.")] = None,
    json: Annotated[str, typer.Option(help="File for the record; - is standard output.")] = "",
    report: Annotated[
        Path | None,
        typer.Option(help="Write DIR/index.html: distributions, time series, stages.", metavar="DIR"),
    ] = None,
    base: Annotated[
        Path | None, typer.Option("--compare", help="A record to compare with.", metavar="FILE")
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(help="Exit 7 where this became worse: p99+10%, fps-5%, preprocess.p50+20%."),
    ] = None,
) -> int:
    """Measure speed, stage by stage, in fresh processes; compare it with a record."""
    rules = rules_of(fail_if or [])
    _check(seconds, rounds, policy, conf, base, rules)
    before = records.load(base) if base is not None else None
    if report is not None:
        prepare(report)
    if json not in {"", "-"}:
        check_file(Path(json))
    spec = Spec(model, source, seconds, sinks=_sinks(sink), policy=policy, imgsz=parse_size(imgsz), conf=conf)
    sweep = Sweep(
        tuple(_words(backend)), _numbers(batch, "--batch"), _numbers(streams, "--streams"),
        _numbers(threads, "--threads") or (cpu_threads(),),
    )  # fmt: skip
    found = records.load(Path(model)) if _is_record(model) else _measured(spec, sweep, rounds)
    comparison = compare(before, found, _all(rules)) if before is not None else None
    _tell(found, comparison, json, base.name if base is not None else "")
    if report is not None:
        print(f"report: {write(found, report, comparison)}", file=sys.stderr)
    return REGRESSION if comparison is not None and comparison.regressions else 0


def _is_record(model: str) -> bool:
    return model.endswith(".json") and Path(model).is_file()


def _measured(spec: Spec, sweep: Sweep, rounds: int) -> Record:
    path = find_model(spec.model)
    for backend in sweep.backends if path.is_file() else ():
        choose_backend(path, backend)  # one that does not work here is told before the others are measured
    specs, skipped = specs_of(sweep, spec)
    if not specs:
        raise UsageError(
            "no combination can be measured",
            why="; ".join(skipped),
            cure="as many --streams as --batch, or more",
        )
    for line in skipped:
        _say(f"left out: {line}")
    rows, one = measured([replace(each, model=str(path)) for each in specs], rounds=rounds, tell=_say)
    settings = Settings(
        source_name(spec.source), one.size, one.live, spec.sinks, spec.policy, spec.imgsz, spec.conf
    )
    command = "vedette " + command_line(sys.argv[1:])
    return Record(one.model, machine(one.gpu), settings, tuple(rows), versions(), command)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _all(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Those that are asked for, and beside them what is always told."""
    asked = {(rule.metric, rule.number) for rule in rules}
    return (*rules, *(rule for rule in TOLD if (rule.metric, rule.number) not in asked))


def _tell(record: Record, comparison: Comparison | None, json: str, base: str) -> None:
    """JSON alone on standard output, where it is asked for there."""
    if json == "-":
        print(records.dumps(record), end="")
    elif json:
        write_bytes(Path(json), records.dumps(record).encode())
    with redirect_stdout(sys.stderr if json == "-" else sys.stdout):
        print_record(record)
        if comparison is not None:
            print_comparison(comparison, base)


def _check(
    seconds: float, rounds: int, policy: str, conf: float | None, base: Path | None, rules: tuple[Rule, ...]
) -> None:
    checks = [
        ("--seconds", seconds, 0.1 <= seconds <= 86400, "it is from 0.1 to 86400", "--seconds 10"),
        ("--rounds", rounds, 1 <= rounds <= 100, "it is from 1 to 100", "--rounds 3"),
        ("--policy", policy, policy in {"", "latest", "all"}, "it is latest or all", "--policy latest"),
        ("--conf", conf, conf is None or 0 <= conf <= 1, "it is a score, 0 to 1", "--conf 0.25"),
    ]
    for flag, value, fits, why, example in checks:
        if not fits:
            raise UsageError(f"{flag} {value} is out of range", why=why, cure=f"use {example}, say")
    if rules and base is None:
        raise UsageError(
            "--fail-if needs something to compare with",
            why="worse is worse than another record",
            cure="--compare base.json, written by an earlier --json base.json",
        )


def _sinks(text: str) -> tuple[str, ...]:
    words = [] if text in {"", "none"} else _words(text)
    for word in words:
        if word not in SINKS:
            raise UsageError(
                f"--sink {word} is not there",
                why=f"there are {', '.join(SINKS)} and none",
                cure="--sink json",
            )
    return tuple(words)


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _numbers(text: str, flag: str) -> tuple[int, ...]:
    words = _words(text)
    for word in words:
        if not word.isdecimal() or not 1 <= int(word) <= 256:
            raise UsageError(
                f"{flag} {word} is out of range",
                why="it is a whole number from 1 to 256",
                cure=f"use {flag} 1,2,4",
            )
    return tuple(map(int, words))
