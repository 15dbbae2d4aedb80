"""JSON is read strictly, as pydantic reads it strictly: what one takes the other takes, and makes the same of it."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from vedette.runtime.strict import RefusedError, loads, read

STRICT = {"extra": "forbid", "strict": True, "allow_inf_nan": False}  # for pydantic


@dataclass(frozen=True, slots=True)
class Inner:
    __pydantic_config__ = STRICT
    side: int
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.side < 0:
            raise ValueError("a side is 0 or more")


@dataclass(frozen=True, slots=True)
class Outer:
    __pydantic_config__ = STRICT
    name: str
    kind: Literal["a", "b"]
    version: Literal[1] = 1
    on: bool = False
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    pair: tuple[int, float] = (0, 0.0)
    pairs: tuple[tuple[int, int], ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    anything: dict[str, Any] = field(default_factory=dict)


FULL = Outer(
    "x", "a", 1, True, Inner(3), (Inner(1, 2.0), Inner(2)), (1, 0.5), ((1, 2), (3, 4)), {"k": "v"}, {"z": [1, {"y": None}]}
)  # fmt: skip
PEER = TypeAdapter(Outer)


def test_what_is_written_is_read() -> None:
    assert loads(Outer, json.dumps(asdict(FULL))) == FULL
    assert loads(Outer, json.dumps(asdict(FULL)).encode()) == FULL
    assert read(Outer, asdict(FULL)) == FULL  # of tuples, which JSON has not


def test_a_whole_number_may_stand_for_a_float_and_becomes_one() -> None:
    share = loads(Inner, '{"side": 1, "share": 2}').share
    assert share == 2.0
    assert isinstance(share, float)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"side": 1, "colour": 2}', "colour: there is no such key"),
        ("{}", "side: it is missing"),
        ('{"side": 1.0}', "side: it is not a whole number"),
        ('{"side": true}', "side: it is not a whole number"),
        ('{"side": "1"}', "side: it is not a whole number"),
        ('{"side": null}', "side: it is not a whole number"),
        ('{"side": 1, "share": true}', "share: it is not a number"),
        ('{"side": 1, "share": "0.5"}', "share: it is not a number"),
        ('{"side": 1, "share": 1e999}', "share: it is not a finite number"),
        ('{"side": 1, "share": 1' + "0" * 400 + "}", "share: it is too large a number"),
        ('{"side": -1}', "the document: a side is 0 or more"),
        ('{"side": 1, "share": NaN}', "share: it is not a finite number"),
        ('{"side": 1, "share": -Infinity}', "share: it is not a finite number"),
        ("[]", "the document: it is not an object"),
        ("3", "the document: it is not an object"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(RefusedError) as caught:
        loads(Inner, text)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "c"}, 'kind: it is not "a" or "b"'),
        ({"version": 2}, "version: it is not 1"),
        ({"version": 1.0}, "version: it is not 1"),
        ({"version": True}, "version: it is not 1"),
        ({"many": [{"side": 1}, {"side": "2"}]}, "many.1.side: it is not a whole number"),
        ({"many": [{"side": 1}, {"side": -2}]}, "many.1: a side is 0 or more"),
        ({"many": {"side": 1}}, "many: it is not a list"),
        ({"pair": [1]}, "pair: it has 1 items, not 2"),
        ({"pairs": [[1, 2], [3, 4.0]]}, "pairs.1.1: it is not a whole number"),
        ({"names": {"k": 1}}, "names.k: it is not a text"),
        ({"name": "\ud800"}, "name: it is not a text"),
        ({"names": {"\udfff": "v"}}, "names: it is not a text"),
        ({"anything": {"z": ["\ud800"]}}, "anything.z.0: it is not a text"),
        ({"anything": {"z": [1, float("nan")]}}, "anything.z.1: it is not a finite number"),
        ({"inner": {"side": 1, "sides": 2}}, "inner.sides: there is no such key"),
    ],
)
def test_places_inside_are_told(change: dict[str, Any], told: str) -> None:
    with pytest.raises(RefusedError) as caught:
        loads(Outer, json.dumps({**asdict(FULL), **change}))
    assert str(caught.value) == told


@pytest.mark.parametrize(
    "text",
    ["", "{", "nul", '{"side": 1}}', "\ufeff{}", b"\xff\xfe{\x00}\x00", b'{"side": "\xff"}', "9" * 5000],
)
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(RefusedError, match="the document: it is no"):
        loads(Inner, text)


@pytest.mark.parametrize("levels", [65, 500, 100_000])
def test_deep_nesting_is_refused(levels: int) -> None:
    deep = "[" * levels + "]" * levels
    with pytest.raises(RefusedError):
        loads(Outer, '{"name": "x", "kind": "a", "anything": {"z": ' + deep + "}}")


def test_the_last_of_equal_keys_holds() -> None:
    assert (
        loads(Inner, '{"side": 1, "side": 2}').side
        == 2
        == TypeAdapter(Inner).validate_json('{"side": 1, "side": 2}').side
    )


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=4),
    st.sampled_from(["a", "b", 1, 1.0, -1, [], {}]),
)  # fmt: skip
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["side", "share", "k", "é"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@settings(derandomize=True, max_examples=1500, deadline=None)
@given(
    changes=st.dictionaries(st.sampled_from([*asdict(FULL), "more"]), JUNK, max_size=2),
    dropped=st.sets(st.sampled_from(sorted(asdict(FULL))), max_size=2),
)
def test_pydantic_takes_the_same_and_makes_the_same_of_it(changes: dict[str, Any], dropped: set[str]) -> None:
    version = changes.get("version")
    assume(version != 1 or type(version) is int)  # pydantic takes true for Literal[1]; we do not
    document = {name: value for name, value in asdict(FULL).items() if name not in dropped} | changes
    text = json.dumps(document)
    try:
        expected = PEER.validate_json(text)
    except ValidationError:
        with pytest.raises(RefusedError):
            loads(Outer, text)
    else:
        found = loads(Outer, text)
        assert found == expected
        assert repr(found) == repr(expected)  # 1 is not 1.0 here
