"""YAML with places: what is taken, what is refused, and where."""

import time
from datetime import date
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vedette.cameras.nodes import Node, Refusal
from vedette.cameras.problems import Problem
from vedette.cameras.scalars import Trap, scalar_of
from vedette.cameras.tree import tree_of

WORDS = (
    "~ null yes no on off y N true False 010 08 0x1f 0b1 0o17 1e3 1.5e3 .5e+3 1_000 12:30 1:30.5 .inf "
    "-.INF .nan 2026-11-23 12 -7 +7 0 0.5 .5 5. -.5 1.2.3 10.0.0.5"
)


def place_of(text: str, word: str) -> tuple[int, int]:
    """Line and column of the only occurrence of a word, counted independently of YAML."""
    assert text.count(word) == 1
    before = text[: text.index(word)]
    return before.count("\n") + 1, len(before.split("\n")[-1]) + 1


def refusal_of(text: str) -> Problem:
    with pytest.raises(Refusal) as caught:
        tree_of(text)
    return caught.value.problem


def only_problem(text: str) -> Problem:
    (problem,) = tree_of(text)[1]
    return problem


@pytest.mark.parametrize("word", WORDS.split())
def test_a_word_is_what_yaml_1_1_says_or_refused(word: str) -> None:
    found, expected = scalar_of(word), yaml.safe_load(word)
    if not isinstance(found, Trap):
        assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("word", ["=", "<<"])
def test_words_that_yaml_1_1_keeps_for_itself(word: str) -> None:
    assert isinstance(scalar_of(word), Trap)


@settings(max_examples=1000, deadline=None)
@given(st.text("0123456789+-._:eExXoObBnNyYaAfFsStTrRuUlLiI~=<", min_size=1, max_size=8))
@example("0_8")
@example("1_0e+3")
@example("190:20:30.15")
def test_no_word_means_two_things(word: str) -> None:
    """Against PyYAML's own resolver, which is YAML 1.1's."""
    found = scalar_of(word)
    resolver: Any = yaml.SafeLoader("")
    tag = resolver.resolve(yaml.ScalarNode, word, (True, False)).rpartition(":")[2]
    if isinstance(found, Trap):
        return
    kinds = {"str": str, "int": int, "float": float, "bool": bool, "null": type(None)}
    assert type(found) is kinds[tag]
    if isinstance(found, int | float) and not isinstance(found, bool):
        assert found == float(word)


@pytest.mark.parametrize(
    "word", ["no", "off", "Yes", "010", "1e3", "12:30", "0x1f", "1_000", "2026-11-23", ".inf"]
)
def test_a_trap_is_told_at_its_place_and_passes_in_quotes(word: str) -> None:
    text = f"first: 1\nsecond:\n  - {word}\n"
    problem = only_problem(text)
    assert (problem.line, problem.column) == place_of(text, word)
    assert "quote it" in problem.cure
    root, problems = tree_of(text.replace(word, f"'{word}'"))
    assert not problems
    assert root.plain() == {"first": 1, "second": (word,)}


def test_a_trap_as_a_key() -> None:
    problem = only_problem("cameras:\n  no: 1\n")
    assert (problem.line, problem.column) == (2, 3)


@pytest.mark.parametrize("key", ["1", "true", "~", "0.5"])
def test_a_key_that_is_no_text(key: str) -> None:
    assert (only_problem(f"a:\n  {key}: x\n").line, only_problem(f"a:\n  {key}: x\n").column) == (2, 3)


def test_places_of_keys_and_values_count_characters() -> None:
    text = "größe: {ä: [one, 'two', {deep: three}]}\nblock:\n  - four\n"
    root, problems = tree_of(text)
    assert not problems
    for loc, word in [
        (("größe", "ä", 0), "one"),
        (("größe", "ä", 1), "'two'"),
        (("größe", "ä", 2, "deep"), "three"),
        (("block", 0), "four"),
    ]:
        assert root.walked(loc) == (loc, place_of(text, word))
    assert root.walked(("größe", "ä"), at_key=True)[1] == place_of(text, "ä:")
    assert root.walked(("größe", "ä", "tag", 0)) == (("größe", "ä", 0), place_of(text, "one"))


def test_a_key_twice_is_told_with_both_places() -> None:
    problem = only_problem("a: 1\nb: 2\n 'c' : 3\n".replace(" 'c' ", "'a'"))
    assert (problem.line, problem.column) == (3, 1)
    assert "1:1" in problem.why


def test_of_two_equal_keys_the_first_holds() -> None:
    assert tree_of("a: 1\na: 2\n")[0].plain() == {"a": 1}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", (1, 1)),
        ("# nothing\n", (1, 1)),
        ("a: 1\n---\nb: 2\n", (2, 1)),
        ("a: !!python/name:os.system x\n", (1, 4)),
        ("a: !secret x\n", (1, 4)),
        ("%TAG ! tag:example.org,2026:\n---\na: 1\n", (1, 1)),
        ("a: *nowhere\n", (1, 4)),
        ("a: &a [*a]\n", (1, 8)),
        ("? [a]\n: b\n", (1, 3)),
        ("a: b: c\n", (1, 5)),
        ("a: [1, 2\n", (2, 1)),
        ("a: 'open\n", (2, 1)),
        ("a:\n  b: 1\n c: 2\n", (3, 2)),
    ],
)
def test_what_is_refused_at_once(text: str, place: tuple[int, int]) -> None:
    problem = refusal_of(text)
    assert (problem.line, problem.column) == place
    assert problem.cure


@pytest.mark.parametrize("unit", ["[", "{a: ", "- "])
def test_depth_is_bounded_before_anything_is_built(unit: str) -> None:
    began = time.monotonic()
    assert "deep" in refusal_of(unit * 200_000).what
    assert time.monotonic() - began < 5


def test_sixteen_levels_are_taken() -> None:
    assert tree_of("[" * 16 + "]" * 16)[0].weight == 16
    assert "deep" in refusal_of("[" * 18 + "]" * 18).what


def test_billion_laughs() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    problem = refusal_of("\n".join(lines))
    assert "values" in problem.what
    assert problem.line == 5  # 9 ** 5 > 50,000 > 9 ** 4


def test_many_values() -> None:
    assert "values" in refusal_of("[" + "x," * 100_000 + "]").what


def test_anchors_and_merges() -> None:
    text = "a: &a {x: 1, z: 2}\nb: {<<: *a, z: 3}\nc: {<<: [{x: 9}, *a]}\nd: *a\n"
    root, problems = tree_of(text)
    assert not problems
    assert root.plain() == yaml.safe_load(text)
    assert root.walked(("b", "x")) == (("b", "x"), place_of(text, "1"))  # where it was written


def test_merging_what_has_no_keys() -> None:
    assert "<<" in only_problem("a: &a 3\nb: {<<: *a}\n").what


@pytest.mark.parametrize("value", ['"a\\nb"', '"\\0"', "|\n  a\n  b\n", '"\\x7f"'])
def test_values_are_one_line_of_text(value: str) -> None:
    assert "line break" in only_problem(f"a: {value}").what


def test_a_key_without_a_value() -> None:
    problem = only_problem("a:\n  b:\n  c: 1\n")
    assert problem.line == 2
    assert "without a value" in problem.what


def plain_equal(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(plain_equal(ours[key], theirs[key]) for key in theirs)
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(plain_equal, ours, theirs))
    return bool(ours == theirs) and not isinstance(theirs, date)


JSONISH = st.recursive(
    st.booleans() | st.integers(-(10**17), 10**17) | st.text("abcno01:.- é'#&*!|>@`%", max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcno1", min_size=1, max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(JSONISH, st.booleans())
def test_what_pyyaml_writes_we_read(value: Any, flow: bool) -> None:
    text = yaml.safe_dump({"root": value}, default_flow_style=flow, allow_unicode=True)
    root, problems = tree_of(text)
    assert isinstance(root, Node)
    told = {problem.what for problem in problems} - {"yes, no, on or off without quotes"}
    assert not {what for what in told if "as a key" not in what and "exponent" not in what}
    if not problems:
        assert plain_equal(root.plain(), {"root": value})
