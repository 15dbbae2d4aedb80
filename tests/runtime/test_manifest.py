"""Manifests are strict, and vouch for exact bytes."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.runtime import manifest as manifests
from vedette.runtime.errors import ManifestError, ModelError
from vedette.runtime.manifest import Certificate, Decoder, Input, Manifest, Output, Parity, Resize

CARD = Manifest(
    "toy", "detection", (Input("images", (-1, 3, 32, 32), maximum=(4, 3, 32, 32), resize=Resize("stretch")),),
    (Output("grid", (-1, 7, 4, 4), role="grid"),), Decoder("fastestdet"), labels=("cat", "dog"),
    parity=(Parity("grid", 1e-6, 1e-7, 2.0, 3),),
)  # fmt: skip

GRAPH = b"\x08\x08"  # the shortest ONNX file: a version


def written(folder: Path, **changes: Any) -> Path:
    model = folder / "toy.onnx"
    model.write_bytes(GRAPH)
    card = replace(CARD, files={"toy.onnx": manifests.sha256(GRAPH)})
    document = {**json.loads(manifests.dumps(card)), **changes}
    manifests.path_beside(model).write_text(json.dumps(document))
    return model


def test_a_manifest_survives_writing_and_reading() -> None:
    assert manifests.parse(manifests.dumps(CARD)) == CARD


def test_loading_returns_the_bytes_that_were_hashed(tmp_path: Path) -> None:
    card, files = manifests.load(written(tmp_path))
    assert files == {"toy.onnx": GRAPH}
    assert card.labels == ("cat", "dog")


def test_an_unknown_key_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        manifests.load(written(tmp_path, colour="red"))
    assert "colour" in caught.value.why


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema_version", 2),
        ("task", "cooking"),
        ("labels", "cat"),
        ("inputs", [{"name": "images"}]),
        ("precision", 16),
        ("parity", [{"output": "grid", "max_abs": "0.1", "mean_abs": 0.0, "scale": 1.0, "feeds": 1}]),
    ],
)
def test_a_wrong_type_is_refused_by_place(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(ManifestError) as caught:
        manifests.load(written(tmp_path, **{key: value}))
    assert key in caught.value.why


def test_changed_bytes_are_refused(tmp_path: Path) -> None:
    model = written(tmp_path)
    model.write_bytes(b"\x08\x09")
    with pytest.raises(ManifestError, match="not the file"):
        manifests.load(model)


def test_a_manifest_that_vouches_for_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="does not vouch"):
        manifests.load(written(tmp_path, files={}))


@pytest.mark.parametrize("name", ["../weights.bin", "/weights.bin", "a/b.bin", "", ".."])
def test_a_file_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ManifestError, match="outside its folder"):
        manifests.load(written(tmp_path, files={name: "0" * 64}))


def test_a_missing_manifest_names_adopt(tmp_path: Path) -> None:
    model = tmp_path / "bare.onnx"
    model.write_bytes(GRAPH)
    with pytest.raises(ManifestError) as caught:
        manifests.load(model)
    assert "vedette adopt bare.onnx" in caught.value.cure


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read"):
        manifests.load(tmp_path / "none.onnx")


def test_bounds_fill_in_fixed_axes() -> None:
    assert CARD.inputs[0].bounds() == ((1, 3, 32, 32), (1, 3, 32, 32), (4, 3, 32, 32))


@settings(derandomize=True, max_examples=300, deadline=None)
@given(
    place=st.integers(0, 10_000),
    junk=st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.just([]), st.just({})
    ),
)
def test_any_value_replaced_by_junk_is_read_or_refused_never_worse(place: int, junk: object) -> None:
    document = json.loads(manifests.dumps(CARD))
    holders = [document, *document["inputs"], *document["outputs"], document["decoder"], *document["parity"]]
    holder = holders[place % len(holders)]
    key = sorted(holder)[place // len(holders) % len(holder)]
    holder[key] = junk
    with contextlib.suppress(ManifestError):
        manifests.parse(json.dumps(document))


CERTIFICATE = Certificate(
    judge="tensorrt", engine_ran=True, reference="toy of the zoo", reference_sha256="ab", frames=3, frames_sha256="cd",
    conf=0.5, unit="boxes", decisions=20, kept=1.0, found=20, invented=0.0, drift_mean=1e-4, drift_max=1e-3, map_loss=0.1,
)  # fmt: skip


def test_a_certificate_survives_writing_and_reading_and_its_absence_is_not_told() -> None:
    card = replace(CARD, certificate=CERTIFICATE)
    assert manifests.parse(manifests.dumps(card)) == card
    assert "certificate" not in json.loads(manifests.dumps(CARD))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kept": 1.5}, {"invented": -0.1}, {"decisions": 0}, {"frames": 0}, {"unit": "things"}, {"kept": "1"},
        {"map_loss": "none"}, {"engine_ran": 1}, {"signed": True}, {"drift_max": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_certificate_is_strict(wrong: dict[str, object]) -> None:
    document = json.loads(manifests.dumps(replace(CARD, certificate=CERTIFICATE)))
    document["certificate"].update(wrong)
    with pytest.raises(ManifestError):
        manifests.parse(json.dumps(document))
