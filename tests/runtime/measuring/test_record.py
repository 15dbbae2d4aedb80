"""A record: strict JSON that comes back as it was, and tells nothing of who measured or where."""

import getpass
import json
import platform
from dataclasses import replace
from pathlib import Path

import pytest
from speeds import block, blocks, record

from vedette.runtime.errors import UsageError
from vedette.runtime.measuring import machine
from vedette.runtime.measuring.gauges import GpuSpell
from vedette.runtime.measuring.record import dumps, load, loads, slope, summary
from vedette.runtime.measuring.rounds import command_line, source_name


def test_it_comes_back_as_it_was() -> None:
    spell = GpuSpell(1.0, 50.0, 61.0, 1400.0, None, 50.0, ("power cap",))
    made = record([replace(one, gpu=spell) for one in blocks(10, seed=1)])
    assert loads(dumps(made)) == made


def test_a_reader_of_json_finds_quantiles_hashes_and_the_machine() -> None:
    told = json.loads(dumps(record([*blocks(10, seed=1), *blocks(20, seed=2, condition="contended")])))
    assert told["schema_version"] == 1
    assert told["model"]["sha256"] == {"toy.onnx": "ab" * 32}
    [row] = told["rows"]
    assert row["summary"].keys() == {"warm", "contended"}
    assert row["summary"]["warm"]["work"].keys() == {"p50", "p90", "p99", "max", "mean", "count"}
    assert row["summary"]["contended"]["work"]["p50"] == pytest.approx(20, rel=0.1)
    assert row["blocks"][0]["ms"]["work"]["counts"]


def test_numbers_are_sums_over_frames_not_means_of_blocks() -> None:
    found = summary([block([10] * 8), block([40, 40])])
    assert found["whole"]["frames"] == 10
    assert found["whole"]["fps"] == pytest.approx(10 / 0.16)
    assert found["whole"]["cpu_ms"] == pytest.approx(0.8 * 160 / 10)
    assert found["work"]["mean"] == pytest.approx(16)
    assert found["work"]["p50"] == pytest.approx(10, rel=0.0051)
    assert found["work"]["max"] == 40


def test_memory_grows_by_the_slope_of_its_rounds() -> None:
    grown = [
        replace(one, rss_mb=100 + one.start_s * 2)
        for one in blocks(10, seed=1, each=20)  # 2 MB a second
    ]
    assert slope(grown) == pytest.approx(120)
    assert slope(blocks(10, seed=1, each=5)) is None  # a second of each round says nothing


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda told: told.update(schema_version=2), "schema_version"),
        (lambda told: told.update(more=1), "more"),
        (lambda told: told.pop("machine"), "machine"),
        (lambda told: told["rows"][0]["blocks"][0].update(frames=0), "rows.0.blocks.0"),
        (lambda told: told["rows"][0]["blocks"][0]["ms"]["work"].update(buckets=[10**9]), "rows.0.blocks.0.ms.work"),
        (lambda told: told["rows"][0].update(blocks=[]), "without blocks"),
        (lambda told: told.update(rows=[]), "without blocks"),
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused_with_its_place(change, where: str) -> None:  # type: ignore[no-untyped-def]
    told = json.loads(dumps(record(blocks(10, seed=1))))
    change(told)
    with pytest.raises(UsageError) as raised:
        loads(json.dumps(told), origin="base.json")
    assert "base.json" in raised.value.what
    assert where in raised.value.why


def test_a_summary_that_someone_wrote_is_not_believed() -> None:
    made = record(blocks(10, seed=1))
    told = json.loads(dumps(made))
    told["rows"][0]["summary"] = {}
    assert loads(json.dumps(told)) == made


def test_a_file_that_is_missing_or_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*none\.json"):
        load(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("speed: high")
    with pytest.raises(UsageError, match=r"text\.json is not a record"):
        load(tmp_path / "text.json")


def test_the_stamp_names_no_host_user_or_folder() -> None:
    told = str(machine.machine()) + str(machine.versions())
    for secret in (platform.node(), getpass.getuser(), str(Path.home()), str(Path.cwd())):
        assert len(secret) < 4 or secret not in told
    assert machine.machine().cores >= machine.machine().usable_cores >= 1
    assert machine.versions()["python"] == platform.python_version()


def test_a_command_line_keeps_no_folder_and_no_address() -> None:
    arguments = [
        "bench", "/models/of/anna/net.onnx", "rtsp://anna:secret@10.0.0.7/live", "--json=/models/a.json",
        "--compare", "../base.json", "--seconds", "5", "synthetic:64x48@30", "file:///clips/of/anna/v.mp4",
    ]  # fmt: skip
    assert command_line(arguments) == (
        "bench net.onnx rtsp:// --json=a.json --compare base.json --seconds 5 synthetic:64x48@30 v.mp4"
    )


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/data/clips/street.mp4", "street.mp4"), ("pictures/", "pictures"), ("rtsp://u:p@cam.lan/1?token=x", "rtsp://"),
        ("synthetic:640x480@25?live=1", "synthetic:640x480@25?live=1"), ("0", "0"), (".", "."), ("HTTP://x/y", "http://"),
    ],
)  # fmt: skip
def test_a_source_is_named_without_where_it_is(uri: str, expected: str) -> None:
    assert source_name(uri) == expected


def test_processors_boards_and_power_modes_are_read_as_they_are_told() -> None:
    assert machine.cpu_name("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nflags : x\n") == "A CPU @ 2 GHz"
    board = machine.cpu_name("model name\t: ARMv8 Processor rev 1 (v8l)\n", "NVIDIA Jetson AGX Orin\x00")
    assert board == "NVIDIA Jetson AGX Orin, ARMv8 Processor rev 1 (v8l)"
    assert machine.memory_gb("MemTotal:       16777216 kB\nMemFree: 1 kB\n") == 16.0
    assert machine.memory_gb("") == 0
    assert machine.power_mode("NVPM WARN: power mode is not set\nNV Power Mode: MODE_30W\n2\n") == "MODE_30W"
    assert machine.power_mode("") == ""
