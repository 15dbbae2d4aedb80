"""The words of --fail-if."""

import pytest

from vedette.runtime.errors import UsageError
from vedette.runtime.measuring.rules import Rule, rules_of


def test_each_form_is_understood() -> None:
    found = rules_of(
        ["p99+10%, fps-5%", "preprocess.p50+20%", "age_p99+2.5%", "memory_mb+0%", "end_to_end.max+1%"]
    )
    assert found == (
        Rule("end_to_end", "p99", 0.1), Rule("fps", "", 0.05), Rule("preprocess", "p50", 0.2), Rule("age", "p99", 0.025),
        Rule("memory_mb", "", 0.0), Rule("end_to_end", "max", 0.01),
    )  # fmt: skip
    assert [rule.name for rule in found] == ["p99", "fps", "preprocess.p50", "age.p99", "memory_mb", "max"]


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("p99", "--fail-if p99+10%"), ("p99+10", "--fail-if p99+10%"), ("p98+10%", "--fail-if p99+10%"),
        ("tpu.p50+10%", "--fail-if p99+10%"), ("p99-10%", "--fail-if p99+10%"), ("fps+5%", "--fail-if fps-5%"),
        ("p99+-3%", "--fail-if p99+10%"), ("cpu_ms.p50+1%", "--fail-if p99+10%"),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused_with_its_cure(text: str, cure: str) -> None:
    with pytest.raises(UsageError) as raised:
        rules_of([text])
    assert text in raised.value.what
    assert raised.value.cure == cure
