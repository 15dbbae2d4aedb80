"""The programs of this folder, short and with deadlines three times as long: what must be true on any machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from chaos import corruption, full_disk, fuzz, reconnect, signals, slow_consumer
from chaos.report import Report
from chaos.servers import has_gstreamer


@pytest.fixture
def report() -> Report:
    return Report(times=3.0)


def test_a_killed_or_silent_server_is_found_again_and_the_others_do_not_notice(report: Report) -> None:
    if not has_gstreamer():
        pytest.skip("GStreamer's RTSP server is missing: tests/chaos/install_gstreamer.sh brings it")
    reconnect.real_server(report, deaths=3, stalls=1)
    assert not report.broken


def test_a_camera_that_never_answers_is_given_up_each_time(report: Report) -> None:
    reconnect.unanswered(report, seconds=9)
    assert not report.broken


def test_a_run_ends_at_once_in_every_state(report: Report) -> None:
    reconnect.ends(report)
    assert not report.broken


def test_wrong_pictures_are_told_and_right_ones_never(report: Report) -> None:
    corruption.loss(report, frames=200, seeds=2)
    assert not report.broken


def test_a_camera_without_key_frames_has_stalled(report: Report) -> None:
    corruption.no_key_frame(report)
    assert not report.broken


def test_boxes_are_right_from_the_first_frame_of_another_size(report: Report) -> None:
    corruption.change_of_size(report)
    assert not report.broken


def test_time_goes_forward_whatever_the_camera_says(report: Report) -> None:
    corruption.times(report)
    assert not report.broken


def test_a_slow_model_sees_the_present_and_every_frame_is_counted(report: Report) -> None:
    slow_consumer.run(report, seconds=8)
    assert not report.broken


def test_signals_end_a_run_in_every_state_and_its_files_play(report: Report) -> None:
    signals.ends(report)
    assert not report.broken


def test_a_kill_costs_no_more_than_a_group_of_pictures(report: Report) -> None:
    signals.kills(report, count=3)
    assert not report.broken


def test_a_full_disk_pauses_the_recording_alone(report: Report) -> None:
    if not full_disk.run(report, seconds=3):
        pytest.skip("this user may not mount a file system")
    assert not report.broken


def test_a_planted_crash_hang_and_fault_are_told_apart() -> None:
    tally = fuzz.tallied("planted", len(fuzz.PLANTED), limit_s=1.0)
    assert tally.outcomes == {"accepted": 3, "fault": 1}
    assert tally.bad == [
        "planted seed 1: the process ended with -11",
        "planted seed 3: no end within 1 s",
        "planted seed 5: fault",
    ]


def test_nonsense_is_refused(report: Report) -> None:
    fuzz.run(report, inputs=300)
    assert not report.broken


def test_reconnects_leave_nothing_behind_and_a_planted_leak_is_seen() -> None:
    """In processes of their own: memory of other tests would count."""
    command = [sys.executable, "-m", "chaos.soak", "--every", "12", "--times", "3"]
    folder = Path(__file__).parents[1]
    flat = subprocess.Popen([*command, "--seconds", "60"], cwd=folder, stdout=subprocess.PIPE, text=True)
    leak = subprocess.Popen(
        [*command, "--seconds", "20", "--planted"], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    told = [process.communicate()[0] for process in (flat, leak)]
    assert (flat.returncode, leak.returncode) == (0, 0), told
