"""A round: every stage of a run is measured, in bounded memory, in this process and in one of its own."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy

from vedette.runtime.engine import THREADS, cpu_threads
from vedette.runtime.errors import ModelError, SourceError, UsageError
from vedette.runtime.frame import Frame
from vedette.runtime.measuring import recorder
from vedette.runtime.measuring.child import in_child
from vedette.runtime.measuring.gauges import GpuReading
from vedette.runtime.measuring.measure import Spec, measure
from vedette.runtime.measuring.record import summary
from vedette.runtime.measuring.recorder import Recorder
from vedette.runtime.results import Result

SOURCE = "synthetic:64x48@30"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return toy.recording(tmp_path)


class FakeGauge:
    """60 degrees, and 2 J more at every reading."""

    name = "fake"

    def __init__(self) -> None:
        self.readings = 0

    def read(self) -> GpuReading:
        self.readings += 1
        return GpuReading(joules=2.0 * self.readings, celsius=60.0)

    def close(self) -> None:
        """Nothing is open."""


def test_every_stage_of_every_frame_is_there(model: Path) -> None:
    found = measure(Spec(str(model), SOURCE, 0.5, sinks=("draw", "json", "video")))
    whole = summary(found.blocks)
    frames = whole["whole"]["frames"]
    assert frames > 5
    for stage in (
        "preprocess",
        "inference",
        "postprocess",
        "draw",
        "sink",
        "encode",
        "work",
        "age",
        "end_to_end",
    ):
        assert whole[stage]["count"] == frames, stage
    assert (
        abs(whole["decode"]["count"] - frames) <= 8
    )  # the queue may hold some, and held some at the beginning
    assert whole["end_to_end"]["mean"] >= whole["age"]["mean"] + whole["work"]["mean"]
    assert whole["work"]["mean"] == pytest.approx(
        sum(whole[stage]["mean"] for stage in ("preprocess", "inference", "postprocess")), rel=0.01
    )
    assert sum(block.seconds for block in found.blocks) >= 0.5
    assert (found.size, found.live, found.gpu) == ((64, 48), False, "")
    assert found.model.sha256.keys() == {"toy.npz"}
    assert 0 < found.cold.opened < found.cold.first_result
    assert found.cold.imported is None


def test_no_sink_means_no_drawing(model: Path) -> None:
    whole = summary(measure(Spec(str(model), SOURCE, 0.2, sinks=())).blocks)
    assert not {"draw", "sink", "encode"} & whole.keys()


def test_energy_is_a_gauges(model: Path) -> None:
    found = measure(Spec(str(model), SOURCE, 0.5), gauge=FakeGauge(), block_s=0.1)
    whole = summary(found.blocks)["whole"]
    spells = [block.gpu for block in found.blocks if block.gpu is not None]
    assert len(spells) == len(found.blocks)
    assert whole["joules"] == pytest.approx(
        sum(spell.joules or 0 for spell in spells) / whole["frames"], rel=0.01
    )
    assert whole["celsius"] == 60
    assert found.gpu == "fake"


def test_a_camera_keeps_its_own_rate_and_its_drops_are_counted(model: Path) -> None:
    found = measure(Spec(str(model), "synthetic:64x48@50?live=1", 0.6))
    assert found.live
    assert found.drops.keys() == {"superseded"}
    assert summary(found.blocks)["whole"]["fps"] < 60


def test_threads_are_what_backends_ask_for_while_they_open(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def opened(*_: object, **__: object) -> None:
        seen.append(cpu_threads())
        raise ZeroDivisionError

    monkeypatch.setattr("vedette.runtime.measuring.measure.Model", opened)
    for count in (1, 3):
        with pytest.raises(ZeroDivisionError):
            measure(Spec(str(model), SOURCE, 0.1, threads=count))
    assert seen == [1, 3]
    assert THREADS not in os.environ


def test_a_batch_that_the_model_does_not_take_is_refused(model: Path) -> None:
    with pytest.raises(UsageError, match="toy takes 4 frames at once, not 5"):
        measure(Spec(str(model), SOURCE, 0.1, batch=5, streams=5))


def test_a_process_of_its_own_measures_the_same_and_its_start_too(model: Path) -> None:
    found = in_child(Spec(str(model), SOURCE, 0.3, streams=2))
    assert summary(found.blocks)["work"]["count"] > 5
    assert found.cold.imported is not None
    assert 0 < found.cold.imported < found.cold.opened < found.cold.first_result
    assert found.cold.cpu > 0
    assert found.model.name == "toy"


@pytest.mark.parametrize(
    ("changed", "error", "what"),
    [
        ({"source": "nowhere.mp4"}, SourceError, "cannot tell what kind of source"),
        ({"model": "nothing.npz"}, ModelError, "cannot read"),
        ({"backend": "magic"}, UsageError, "no backend 'magic'"),
    ],
)
def test_what_a_process_refuses_is_raised_here_with_its_words(
    model: Path, changed: dict[str, str], error: type[Exception], what: str
) -> None:
    with pytest.raises(error, match=what) as raised:
        in_child(replace(Spec(str(model), SOURCE, 0.1), **changed))  # type: ignore[arg-type]
    assert type(raised.value) is error


def test_a_process_that_dies_is_told_of(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("/bin/sh", "-c", "cat > /dev/null; echo out of luck >&2; exit 9")
    monkeypatch.setattr("vedette.runtime.measuring.child.COMMAND", command)
    with pytest.raises(Exception, match="the measuring process ended with 9") as raised:
        in_child(Spec(str(model), SOURCE, 0.1))
    assert "out of luck" in str(raised.value)


def test_a_gpus_own_time_is_kept_beside_the_work_not_added_to_it() -> None:
    noted, frame = Recorder(), Frame((np.zeros((2, 2, 3), np.uint8),))
    results = [Result(frame, "m", "detection", {}, latency_ms={"inference": 5, "gpu": 3, "decode": 2})]
    for _ in range(3):
        noted.handed(frame, results, 0)
    [block] = noted.blocks()
    assert {name: block.ms[name].largest for name in ("inference", "gpu", "work")} == {
        "inference": 5,
        "gpu": 3,
        "work": 7,
    }


def test_a_long_run_keeps_a_bounded_number_of_blocks_and_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MOST", 8)
    monkeypatch.setattr(recorder, "REMEMBERED", 10)
    noted, frame = Recorder(block_s=1e-6), Frame((np.zeros((2, 2, 3), np.uint8),))
    results = [Result(frame, "m", "detection", {}, latency_ms={"preprocess": 1, "inference": 5, "decode": 2})]
    for _ in range(101):  # the first is the cold start's
        noted.handed(frame, results, 0)
        noted.tick()
        assert len(noted.blocks()) < 8
    made = noted.blocks()
    assert sum(block.frames for block in made) == 100
    assert sum(block.ms["work"].count for block in made) == 100
    assert summary(made)["work"]["max"] == 8
    assert len(noted.work_ms) == 10
    starts = [block.start_s for block in made]
    assert starts == sorted(starts)
