"""Sweeps: which combinations there are, in which order their rounds run, and what each is given."""

from dataclasses import replace

from speeds import RAN, block

from vedette.runtime.measuring.measure import Cold, Round, Spec
from vedette.runtime.measuring.rounds import Sweep, measured, specs_of
from vedette.runtime.measuring.warmup import WarmUp

SPEC = Spec("toy", "synthetic:64x48@30", 9.0)
ROUND = Round(
    RAN, "onnxruntime on CPU (2 threads)", (64, 48), False, Cold(1, 2, 3, 4), WarmUp(0, 0, steady=True), (block([10]),)
)  # fmt: skip


def test_every_combination_is_a_row_and_streams_follow_the_batch() -> None:
    made, skipped = specs_of(Sweep(("onnxruntime", "openvino"), (1, 4), (), (1, 2)), SPEC)
    assert [(one.backend, one.batch, one.streams, one.threads) for one in made] == [
        ("onnxruntime", 1, 1, 1), ("onnxruntime", 1, 1, 2), ("onnxruntime", 4, 4, 1), ("onnxruntime", 4, 4, 2),
        ("openvino", 1, 1, 1), ("openvino", 1, 1, 2), ("openvino", 4, 4, 1), ("openvino", 4, 4, 2),
    ]  # fmt: skip
    assert not skipped


def test_a_batch_of_fewer_streams_is_left_out_and_said() -> None:
    made, skipped = specs_of(Sweep(("auto",), (1, 4), (1, 2, 8), (1, 2)), SPEC)
    assert {(one.batch, one.streams) for one in made} == {(1, 1), (1, 2), (1, 8), (4, 8)}
    assert skipped == [
        "batch 4 of 1 streams: a batch holds one frame of a stream",
        "batch 4 of 2 streams: a batch holds one frame of a stream",
    ]


def test_rounds_go_to_and_fro_and_share_the_time() -> None:
    ran, told = [], list[str]()

    def run(spec: Spec) -> Round:
        ran.append((spec.number, spec.streams, spec.seconds))
        drops = {"superseded": spec.streams}
        return replace(
            ROUND,
            blocks=(block([10.0 * spec.streams], number=spec.number),),
            drops=drops,
            peak_mb=spec.number,
        )

    specs = [replace(SPEC, streams=count) for count in (1, 2)]
    rows, first = measured(specs, rounds=3, run=run, tell=told.append)
    assert ran == [(0, 1, 3), (0, 2, 3), (1, 2, 3), (1, 1, 3), (2, 1, 3), (2, 2, 3)]
    assert told[2] == "round 2 of 3: auto, batch 1, streams 2, threads 1"
    assert first.drops == {"superseded": 1}
    for row, streams in zip(rows, (1, 2), strict=True):
        assert (row.backend, row.streams, row.drops, row.peak_mb) == (
            "onnxruntime",
            streams,
            {"superseded": 3 * streams},
            2,
        )
        assert [one.round for one in row.blocks] == [0, 1, 2]
        assert row.summary["warm"]["work"]["max"] == 10 * streams
        assert len(row.cold) == len(row.warm_ups) == 3
