"""A model of several graphs: a folder with bundle.json, and each part with its own manifest.

In: a folder.  Out: its Bundle, and each part's manifest and bytes, exactly those that were hashed: the bundle vouches for
the parts' manifests, each of which vouches for its files.  Next: bundles/ (a file a kind), opening.py.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from vedette.runtime import manifest as manifests
from vedette.runtime import strict
from vedette.runtime.draw import write_bytes
from vedette.runtime.errors import ManifestError, ModelError
from vedette.runtime.find import KINDS as KINDS
from vedette.runtime.find import NAME as NAME
from vedette.runtime.find import is_bundle as is_bundle
from vedette.runtime.manifest import PART as PART
from vedette.runtime.manifest import Certificate, Decoder, Manifest, Task
from vedette.runtime.plugins import load as load_plugin

CURE = "export the bundle again with vedette export"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything the runtime knows of a model of several graphs beyond what their own manifests say."""

    name: str
    kind: str  # a file of bundles/, which runs it
    task: Task
    parts: dict[str, str]  # role -> file name; the part that data enters first comes first
    files: dict[
        str, str
    ]  # file name -> sha256: of every part's manifest, and of what else belongs to the model
    schema_version: Literal[1] = 1
    parameters: dict[str, Any] = field(default_factory=dict)  # what the parts share, checked by the kind
    labels: tuple[str, ...] = ()
    licence: str = "unknown"
    provenance: str = ""
    accuracy: str = ""
    certificate: Certificate | None = None  # of the whole


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One graph of a bundle."""

    path: Path
    manifest: Manifest
    files: Mapping[str, bytes]  # the graph's own, and what its manifest names besides


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A bundle that was checked, its parts by role, and its other files."""

    bundle: Bundle
    parts: Mapping[str, Part]
    files: Mapping[str, bytes]

    @property
    def card(self) -> Manifest:
        """The whole as one manifest: the inputs of its first part, no outputs, and the kind in place of a family."""
        bundle, cards = self.bundle, [part.manifest for part in self.parts.values()]
        precisions = {card.precision for card in cards}
        return replace(
            cards[0], name=bundle.name, task=bundle.task, outputs=(), decoder=Decoder(bundle.kind), labels=bundle.labels,
            licence=bundle.licence, provenance=bundle.provenance, accuracy=bundle.accuracy, files=bundle.files, parity=(),
            certificate=bundle.certificate,
            precision=cards[0].precision if len(precisions) == 1 else "mixed",
        )  # fmt: skip

    @property
    def size(self) -> int:
        """Bytes of all graphs and other files."""
        groups = [self.files, *(part.files for part in self.parts.values())]
        return sum(len(data) for group in groups for data in group.values())


def parse(text: bytes | str, *, origin: str = NAME) -> Bundle:
    """Read and check a bundle.json.

    Raises:
        ManifestError: not JSON, an unknown or missing key, a wrong type, a name that leaves the folder, a part whose
            manifest nothing vouches for, or parameters that its kind does not know.
        ModelError: no such kind.
    """
    try:
        bundle = strict.loads(Bundle, text)
    except strict.RefusedError as error:
        raise ManifestError(f"{origin} is not a bundle of schema 1", why=str(error), cure=CURE) from None
    _check_names(bundle, origin)
    parameters_of(bundle)
    return bundle


def parameters_of(bundle: Bundle) -> Any:
    """The kind's own checked Parameters."""
    kind: Any = load_plugin(KINDS, bundle.kind)
    try:
        return strict.read(kind.Parameters, bundle.parameters)
    except strict.RefusedError as error:
        what = f"the parameters of {bundle.name} are wrong"
        raise ManifestError(what, why=str(error), cure=CURE) from None


def _check_names(bundle: Bundle, origin: str) -> None:
    if not bundle.parts:
        raise ManifestError(f"{origin} has no parts", why="a bundle is made of graphs", cure=CURE)
    for name in (*bundle.parts.values(), *bundle.files):
        if Path(name).name != name or "\\" in name or "\0" in name or name in {"", ".", "..", NAME}:
            raise ManifestError(
                f"{origin} names a file outside its folder: {name!r}",
                why="a bundle may only be made of files that lie beside its bundle.json",
                cure="put the files in one folder and export again",
            )
    for name in bundle.parts.values():
        if f"{name}.json" not in bundle.files:
            raise ManifestError(
                f"{origin} does not vouch for {name}", why=f"its files lack the sha256 of {name}.json", cure=CURE
            )  # fmt: skip


def load(folder: Path) -> Loaded:
    """Read a bundle, its parts and their manifests; what is returned is exactly what was hashed.

    Raises:
        ModelError: a part is missing, or its kind is not known.
        ManifestError: a text is malformed, or vouches for other bytes.
    """
    bundle = parse(manifests.read(folder / NAME), origin=f"{folder.name}/{NAME}")
    files = {name: _read(folder / name, expected) for name, expected in bundle.files.items()}
    parts = {role: _part(folder / name, files[f"{name}.json"]) for role, name in bundle.parts.items()}
    own = {f"{name}.json" for name in bundle.parts.values()}
    return Loaded(bundle, parts, {name: data for name, data in files.items() if name not in own})


def outline(folder: Path) -> Loaded:
    """A bundle whose parts are not read yet, but for their manifests: `filled` reads one.

    Raises:
        ModelError: a file is missing, or its kind is not known.
        ManifestError: a text is malformed, or vouches for other bytes.
    """
    bundle = parse(manifests.read(folder / NAME), origin=f"{folder.name}/{NAME}")
    files = {name: _read(folder / name, expected) for name, expected in bundle.files.items()}
    own = {f"{name}.json": folder / name for name in bundle.parts.values()}
    cards = {path: manifests.parse(files[name], origin=name) for name, path in own.items()}
    for card in cards.values():
        _check_there(folder, card)
    parts = {role: Part(folder / name, cards[folder / name], {}) for role, name in bundle.parts.items()}
    return Loaded(bundle, parts, {name: data for name, data in files.items() if name not in own})


def _check_there(folder: Path, card: Manifest) -> None:
    """Before any of the files is read, which takes long."""
    for name in card.files:
        if not (folder / name).is_file():
            raise ModelError(
                f"cannot read {folder / name}", why="no such file", cure="copy the whole folder again from where it was made"
            )  # fmt: skip


def filled(part: Part) -> Part:
    """A part of an outline with its files, read and checked.

    Raises:
        ModelError: a file is missing, or its manifest is another by now.
        ManifestError: it vouches for other bytes.
    """
    card, files = manifests.load(part.path)
    if card != part.manifest:
        raise ModelError(
            f"{part.path.name}.json changed while it was read",
            why="something else writes it",
            cure="try again",
        )
    return Part(part.path, card, files)


def _read(path: Path, expected: str) -> bytes:
    data = manifests.read(path)
    found = manifests.sha256(data)
    if found != expected:
        raise ManifestError(
            f"{path.name} is not the file that {NAME} was written for",
            why=f"sha256 {found[:12]}…, the bundle says {expected[:12] or 'nothing'}…",
            cure="copy the whole folder again from where it was made, or export again",
        )
    return data


def _part(path: Path, manifest: bytes) -> Part:
    """A part whose manifest is equal to what the bundle vouches for, though it is read a second time."""
    return filled(Part(path, manifests.parse(manifest, origin=f"{path.name}.json"), {}))


def save(bundle: Bundle, folder: Path) -> Bundle:
    """Write bundle.json into the folder of its parts, with the hashes of their manifests and of its other files as they are.

    Returns:
        The bundle as written.

    Raises:
        ManifestError: it could not be read back.
        ModelError: a file is missing.
        DiskError: it cannot be written.
    """
    names = {**{f"{name}.json": "" for name in bundle.parts.values()}, **bundle.files}
    files = {name: manifests.sha256(manifests.read(folder / name)) for name in names}
    text = dumps(replace(bundle, files=files))
    written = parse(text)
    write_bytes(folder / NAME, text.encode())
    return written


def dumps(bundle: Bundle) -> str:
    """The JSON text of a bundle, stable from run to run; it speaks of a certificate only where there is one."""
    document = asdict(bundle)
    if bundle.certificate is None:
        del document["certificate"]
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
