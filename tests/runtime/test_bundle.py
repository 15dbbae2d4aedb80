"""bundle.json and what it vouches for: what is written is read, and nothing else is opened."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import toy
from two_stages import bundle

from vedette import Model
from vedette.runtime import bundle as bundles
from vedette.runtime import find
from vedette.runtime import manifest as manifests
from vedette.runtime.bundle import Bundle
from vedette.runtime.errors import ManifestError, ModelError, VedetteError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bundle(tmp_path / "toy")


def rewritten(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / bundles.NAME
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_what_is_saved_is_loaded(folder: Path) -> None:
    loaded = bundles.load(folder)
    assert list(loaded.parts) == ["features", "boxes", "objects"]
    assert bundles.parse(bundles.dumps(loaded.bundle)) == loaded.bundle
    assert loaded.parts["boxes"].manifest == manifests.load(folder / "boxes.onnx")[0]
    assert loaded.parts["boxes"].files == {"boxes.onnx": (folder / "boxes.onnx").read_bytes()}
    assert loaded.size == sum(path.stat().st_size for path in folder.glob("*.onnx"))
    assert (loaded.card.name, loaded.card.labels, loaded.card.licence) == ("toy_rcnn", ("cat", "dog"), "MIT")
    assert loaded.card.decoder.family == "mask_rcnn"


def test_other_files_of_the_model_are_vouched_for_too(folder: Path) -> None:
    (folder / "vocabulary.txt").write_text("cat dog")
    whole = bundles.load(folder).bundle
    bundles.save(replace(whole, files={"vocabulary.txt": ""}), folder)
    assert bundles.load(folder).files == {"vocabulary.txt": b"cat dog"}
    (folder / "vocabulary.txt").write_text("cat owl")
    with pytest.raises(ManifestError, match=r"vocabulary\.txt is not the file"):
        bundles.load(folder)


@pytest.mark.parametrize(
    "name", ["../toy.onnx", "/etc/passwd", "a/b.onnx", "..", "", ".", "a\\b.onnx", "a\0b", "bundle.json"]
)
@pytest.mark.parametrize("where", ["parts", "files"])
def test_a_name_that_leaves_the_folder_is_refused(where: str, name: str, folder: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        if where == "parts":
            content["parts"]["boxes"] = name
            content["files"][f"{name}.json"] = "0" * 64
        else:
            content["files"][name] = "0" * 64

    rewritten(folder, change)
    with pytest.raises(ManifestError, match="outside its folder"):
        bundles.load(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content.update(extra=1), "extra"),
        (lambda content: content.pop("kind"), "kind"),
        (lambda content: content.update(schema_version=2), "schema_version"),
        (lambda content: content.update(labels="cat"), "labels"),
        (lambda content: content.update(parts={}), "no parts"),
        (lambda content: content.update(parts=["features.onnx"]), "parts"),
        (lambda content: content["files"].pop("boxes.onnx.json"), "does not vouch for boxes.onnx"),
        (lambda content: content["files"].update({"boxes.onnx.json": "0" * 64}), "boxes.onnx.json is not the file"),
        (lambda content: content["parameters"].update(proposals="4"), "proposals"),
        (lambda content: content["parameters"].update(proposal_iou=float("nan")), "proposal_iou"),
        (lambda content: content["parameters"].update(unheard_of=1), "unheard_of"),
        (lambda content: content.update(kind="../mask_rcnn"), "no bundle named"),
        (lambda content: content.update(kind="_two_stages"), "no bundle named"),
    ],
)  # fmt: skip
def test_a_malformed_bundle_is_refused(
    change: Callable[[dict[str, Any]], Any], told: str, folder: Path
) -> None:
    rewritten(folder, change)
    with pytest.raises(ModelError) as caught:
        bundles.load(folder)
    assert told in str(caught.value)
    assert str(caught.value).count("\n") == 2  # what, why, cure


def test_no_json_at_all_is_refused(folder: Path) -> None:
    (folder / bundles.NAME).write_bytes(b"\xff\xfe")
    with pytest.raises(ManifestError, match="not a bundle"):
        bundles.load(folder)


@pytest.mark.parametrize("name", ["boxes.onnx", "boxes.onnx.json"])
def test_a_missing_file_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"cannot read .*{name}"):
        Model(folder)


def test_a_graph_that_changed_is_refused(folder: Path) -> None:
    path = folder / "boxes.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ManifestError, match=r"boxes\.onnx is not the file"):
        Model(folder)


def test_a_part_with_a_manifest_of_its_own_making_is_refused(folder: Path) -> None:
    """Graph and manifest agree with each other, but not with the bundle."""
    toy.onnx_model(folder, "boxes.onnx")
    with pytest.raises(ManifestError, match=r"boxes\.onnx\.json is not the file"):
        Model(folder)


def test_a_manifest_that_changes_between_two_reads_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = manifests.load
    monkeypatch.setattr(
        manifests, "load", lambda path: (replace(load(path)[0], licence="other"), load(path)[1])
    )
    with pytest.raises(ModelError, match="changed while it was read"):
        bundles.load(folder)


def test_saving_what_could_not_be_loaded_is_refused(folder: Path, tmp_path: Path) -> None:
    whole = bundles.load(folder).bundle
    before = (folder / bundles.NAME).read_bytes()
    with pytest.raises(ModelError, match="cannot read"):
        bundles.save(replace(whole, parts={**whole.parts, "more": "more.onnx"}), folder)
    with pytest.raises(ManifestError, match="parameters"):
        bundles.save(replace(whole, parameters={}), folder)
    assert (folder / bundles.NAME).read_bytes() == before
    empty = Bundle("x", "mask_rcnn", "instances", {}, {}, parameters={"proposals": 1})
    with pytest.raises(ManifestError, match="no parts"):
        bundles.save(empty, tmp_path)


# ---- by name


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "zoo"
    made.mkdir()
    monkeypatch.setattr(find, "zoo_folder", lambda: made)
    monkeypatch.setattr(find, "_cache", lambda: tmp_path / "cache")
    return made


def test_a_folder_in_the_zoo_is_a_name(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bundle(zoo / "toy_rcnn")
    (zoo / "empty").mkdir()
    assert "toy_rcnn" in find.zoo_names()
    assert "empty" not in find.zoo_names()
    assert find.find_model("toy-rcnn") == zoo / "toy_rcnn"
    assert find.is_model("toy-rcnn")
    assert find.is_model(str(zoo / "toy_rcnn"))
    assert not find.is_model(str(zoo / "empty"))


def test_a_folder_without_a_bundle_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model"):
        Model(tmp_path)


@pytest.mark.parametrize(("name", "target"), [("mask_rcnn", "mask_rcnn"), ("nanodet", "nanodet.onnx")])
def test_what_is_not_made_is_exported_to_a_folder_or_a_file(
    name: str, target: str, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        commands.append(command)
        return SimpleNamespace(returncode=1, stderr="torch is ill")

    monkeypatch.setattr(find, "zoo_names", lambda: (name,))
    monkeypatch.setattr(find, "find_spec", lambda _: True)
    monkeypatch.setattr("subprocess.run", run)
    with pytest.raises(ModelError, match="torch is ill"):
        find.find_model(name)
    assert commands[0][-3:] == [name, "-o", str(zoo.parent / "cache" / target)]


def test_a_bundle_moves_as_a_folder(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder, tmp_path / "other")
    assert len(bundles.load(tmp_path / "other").parts) == 3


def test_every_error_of_a_bundle_is_one_of_ours() -> None:
    with pytest.raises(VedetteError):
        bundles.parse("{}")
