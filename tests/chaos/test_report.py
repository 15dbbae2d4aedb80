"""What judges the others: a figure beyond its limit is told."""

from chaos.report import Report
from chaos.watching import Seen, Watched


def test_a_deadline_is_stretched_and_one_miss_counts() -> None:
    report = Report(times=3.0)
    report.within("kept", [0.1, 2.9], 1.0)
    assert not report.broken
    report.within("missed", [0.1, 3.1], 1.0)
    report.within("never came", [], 1.0)
    assert [text.split(":")[0] for text in report.broken] == ["missed", "never came"]


def test_a_percentile_forgives_its_share_and_no_more() -> None:
    report = Report()
    report.within("one of 21", [0.1] * 20 + [9.0], 1.0, share=0.95)
    assert not report.broken
    report.within("two of 20", [0.1] * 18 + [9.0] * 2, 1.0, share=0.95)
    assert len(report.broken) == 1


def test_shares_counts_and_facts_are_judged() -> None:
    report = Report(times=2.0)
    report.share("kept", 0.91, 0.95)
    report.share("missed", 0.89, 0.95)
    report.at_most("too many", 4, 3)
    report.at_least("too few", 2, 3)
    report.equal("another", [1], [2])
    assert [text.split(":")[0] for text in report.broken] == ["missed", "too many", "too few", "another"]


def test_a_second_without_frames_shows_in_the_worst_rate() -> None:
    with_gap = [at / 25 for at in range(500) if not 250 <= at < 275]
    run = Watched({"pattern": "synthetic:32x32?frames=1"})
    run.join(30)
    run.seen[:] = [Seen(at, "yard", 0, 0.0, False, (32, 32), 0.0, 0) for at in with_gap]
    assert run.worst_rate("yard") == 20
