"""Any document at all: accepted, or told with line and column; never a traceback, never long."""

import random
import re
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vedette.cameras.load import parse
from vedette.cameras.problems import ConfigError

DOCS = Path(__file__).parents[2] / "docs" / "cameras.md"
PLACED = re.compile(r"(error: )?cameras\.yaml:\d+:\d+: \S")


def documented() -> str:
    """The example of docs/cameras.md."""
    return DOCS.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]


def accepted_or_placed(text: str) -> str:
    """What is said of a document; fails unless it is accepted or every problem is at a line and column of it."""
    refused = refusal_of(text)
    if refused is None:
        return ""
    told = str(refused)
    assert all(PLACED.match(line) for line in told.split("\n")[::3] if "more after line" not in line), told
    assert all(problem.line <= text.count("\n") + 2 for problem in refused.problems)
    assert refused.exit_code == 2
    return told


def refusal_of(text: str) -> ConfigError | None:
    """What a document is refused with, where it is; any other exception is the test's failure."""
    try:
        parse(text)
    except ConfigError as error:
        return error
    return None


KEYS = [
    *("models", "cameras", "outputs", "serve", "model", "conf", "iou", "classes", "max_det"),
    *("imgsz", "backend", "track", "source", "username", "password", "policy", "stride", "record"),
    *("env", "file", "json", "path", "recording", "folder", "mqtt", "host", "webhook"),
    *("url", "headers", "address", "token", "yard", "<<"),
]  # fmt: skip
VALUES = [
    *("nanodet 0.3 640 true synthetic: rtsp://10.0.0.5/1 latest [person] {env:_X} no off 010 1e3 12:30 ~ -1".split()),  # noqa: SIM905
    *("1.5", "'text'", '"x\\ty"', "&a", "*a", "!t", "x", "|", ">", "@", "%", "`", "é", "\x00", "\t"),
]  # fmt: skip
TREES = st.recursive(
    st.sampled_from(VALUES),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(st.sampled_from(KEYS), inner).map(": ".join), max_size=4).map(
            lambda items: "{" + ", ".join(items) + "}"
        )
    ),
    max_leaves=15,
)  # fmt: skip
LINES = st.tuples(st.integers(0, 6), st.sampled_from(["", "- "]), st.sampled_from(KEYS), TREES)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(LINES, max_size=12))
@example([(0, "", "cameras", "{yard: {source: a.mp4}}")])
def test_random_documents(lines: list[tuple[int, str, str, str]]) -> None:
    accepted_or_placed("".join(f"{' ' * indent}{dash}{key}: {value}\n" for indent, dash, key, value in lines))


def mutated(text: str, seed: int) -> str:
    """A few pieces taken out, doubled, swapped or replaced."""
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 4)):
        begin = chance.randrange(len(text))
        end = begin + chance.randint(1, 12)
        piece = chance.choice(
            ["", text[begin:end] * 2, *VALUES, *KEYS, ": ", "\n", "\n  ", "{", "]", "#", "'", '"']
        )
        text = text[:begin] + piece + text[end:]
    return text


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 2**32))
def test_mutations_of_the_documented_example(seed: int) -> None:
    accepted_or_placed(mutated(documented(), seed))


def test_the_parser_in_pure_python_does_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML was built without libyaml."""
    monkeypatch.setattr("vedette.cameras.tree.PARSER", yaml.SafeLoader)
    parse(documented())
    assert accepted_or_placed('a: "\\U00110000"')
    for seed in range(200):
        accepted_or_placed(mutated(documented(), seed))


def test_the_mutations_reach_both_answers() -> None:
    told = [accepted_or_placed(mutated(documented(), seed)) for seed in range(200)]
    assert any(told)
    assert not all(told)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    accepted_or_placed(data.decode("utf-8", "ignore"))


def test_a_megabyte_takes_no_five_seconds() -> None:
    for text in ("[x, " * 250_000, "k: {a: 'b'}\n" * 80_000, "#\n" * 490_000, "a: '" + "x" * 900_000):
        began = time.monotonic()
        accepted_or_placed(text)
        assert time.monotonic() - began < 5
