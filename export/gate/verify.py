"""The accuracy gate: a model's fp32 reference and its engine see the same frames, and must decide alike.

In: a model, frames, a budget.  Out: a Certificate for the engine's manifest; or a ModelError that tells why, and no engine.
What counts are decisions, not numbers: the same boxes of the same class, masks, joints, labels, pixels (see decisions.py and
dense.py), in both directions: what the engine lost, and what it invented.

Where the engine cannot run, a stand-in judges the graph that it was built from: each float16 value is rounded as the GPU
rounds it and compared with float16's end (rounded.py). The certificate says which of the two judged. Both sides run on host
arrays, so that all that enters and leaves them is seen; the reference runs on the CPU, where float32 is float32.
Next: reference.py (who is right), sides.py (how both run), verdict.py (what is too much).
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from vedette.export.bundle import build_bundle
from vedette.export.gate.both import COMPARE, Both
from vedette.export.gate.frames import frames_of
from vedette.export.gate.reference import reference_of
from vedette.export.gate.sides import Side, side_of_bundle, side_of_graph, stand_in
from vedette.export.gate.tally import UNITS, Tally
from vedette.export.gate.verdict import Budget, Seen, certificate_of, check_enough, reasons, with_map
from vedette.export.to_engine import Built
from vedette.runtime import bundle as bundles
from vedette.runtime.bundle import NAME, PART
from vedette.runtime.draw import write_bytes
from vedette.runtime.engine import open_engine
from vedette.runtime.errors import DeviceError, ModelError, UsageError
from vedette.runtime.manifest import Certificate, Manifest
from vedette.runtime.opening import card_of
from vedette.runtime.parts import open_parts

BUDGET = Budget()


class Gate:
    """A model's reference, open, and the frames to compare on; close it.

    Args:
        model: the .onnx or the bundle's folder that the engine is built from.
        where: a folder of pictures or a video.
        reference: a zoo name or a path of the fp32 model, where the model does not say.
        budget: how much may differ.
        target: that the engine is built for; another than this machine's GPU is judged by a stand-in.
        step: is told the number of frames done, and of all where it is known.

    Raises:
        UsageError: the model decides nothing, or has no reference.
        SourceError: there are no frames.
        ModelError: the reference is refused.
    """

    def __init__(
        self,
        model: Path,
        where: str,
        *,
        reference: str = "",
        budget: Budget = BUDGET,
        target: str = "",
        step: Callable[[int, int | None], None] = lambda done, of: None,
    ) -> None:
        budget.check()
        _check_graph(model)
        self.card, _ = card_of(model)
        _check_decides(self.card)
        self.frames = frames_of(where)
        self.reference = reference_of(model, reference)
        self._model, self._budget, self._target, self._step = model, budget, target, step

    def close(self) -> None:
        """Free the reference."""
        self.reference.side.close()

    def of_engine(self, card: Manifest, plan: bytes) -> Certificate:
        """Judge an engine of one graph: what build() takes as its judge.

        Raises:
            ModelError: it does not decide as its reference does, or there is too little to judge by.
        """
        path = Path(next(iter(card.files)))
        return self._of(lambda: side_of_graph(card, open_engine(path, card, {path.name: plan})))

    def of_bundle(self, folder: Path) -> Certificate:
        """Judge a bundle of engines.

        Raises:
            ModelError: it does not decide as its reference does, or there is too little to judge by.
        """
        return self._of(lambda: side_of_bundle(*open_parts(folder)))

    def of_graph(self) -> Certificate:
        """Judge the model by its stand-in alone, without any engine.

        Raises:
            ModelError: it does not decide as its reference does, or there is too little to judge by.
        """
        with closing(stand_in(self._model)) as side:
            return self._compared(side, "no engine was built")

    def _of(self, opened: Callable[[], Side]) -> Certificate:
        side, why_not = self._opened(opened)
        with closing(side):
            return self._compared(side, why_not)

    def _opened(self, opened: Callable[[], Side]) -> tuple[Side, str]:
        """The engine; or its stand-in, and why."""
        refusals = (DeviceError, ModelError) if self._target not in ("", "current") else (DeviceError,)
        try:
            return opened(), ""
        except refusals as error:
            return stand_in(self._model), error.why or error.what

    def _compared(self, side: Side, why_not: str) -> Certificate:
        tally = Tally(UNITS[self.card.task], self._budget.conf)
        trial = Both(self.reference.side, side, tally)
        for frame in self.frames:
            trial.take(frame)
            self._step(tally.frames, self.frames.count and -(-self.frames.count // self.frames.stride))
        check_enough(tally)
        seen = with_map(trial.seen(), tally, trial.sources, self.frames.truth)
        found = reasons(tally, seen, self._budget)
        if found:
            found = reasons(tally, replace(seen, swapped=trial.swapped()), self._budget)
            raise _refused(self.card, found, _cure(tally, seen))
        return certificate_of(
            tally,
            seen,
            judge=side.backend + ", float16 rounded at every node" * (side.largest is not None),
            engine_ran=not why_not,
            why_not=why_not,
            reference=self.reference.told,
            reference_sha256=self.reference.sha256,
            frames_sha256=str(trial.digest),
            largest=side.largest,
        )


def _check_graph(model: Path) -> None:
    if model.suffix != ".onnx" and not bundles.is_bundle(model):
        raise UsageError(
            f"{model.name} is not an ONNX file", why="engines are built from .onnx", cure="export one first"
        )


def _check_decides(card: Manifest) -> None:
    if card.task in COMPARE and card.decoder.family != PART:
        return
    part = card.decoder.family == PART
    raise UsageError(
        f"{card.name} decides nothing that could be verified",
        why="it is a part of a model of several graphs" if part else f"its task is {card.task}",
        cure="give the folder that has its bundle.json" if part else "build it without --verify",
    )


def _refused(card: Manifest, found: list[str], cure: str) -> ModelError:
    return ModelError(
        f"{card.name} does not decide as its fp32 reference does; no engine was written",
        why="; ".join(found),
        cure=cure,
    )


def _cure(tally: Tally, seen: Seen) -> str:
    if seen.overflow:
        return "export it in fp32, or keep that node in float32"
    if tally.decisions * (1 - BUDGET.kept) < 1 and tally.share_kept > 0.9:
        return f"of {tally.decisions} decisions a single one is too much: give --verify more pictures"
    return "export it again, or allow more with --min-kept and --max-map-loss"


def build_verified_bundle(
    folder: Path, out: Path, gate: Gate, *, lane: str = "auto", target: str = ""
) -> Iterator[tuple[Manifest, Built]]:
    """build_bundle, but nothing is written to `out` before the whole has passed; what was there stays until then.

    Raises:
        ModelError: a part is refused, or the whole does not decide as its reference does.
        DeviceError: nothing here can build.
        DiskError: `out` cannot be written.
    """
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / (out.name or "engines")
        yield from build_bundle(folder, made, lane=lane, target=target)
        bundle = bundles.load(made).bundle
        bundles.save(replace(bundle, certificate=gate.of_bundle(made)), made)
        for path in sorted(made.iterdir(), key=lambda path: path.name == NAME):  # bundle.json comes last
            write_bytes(out / path.name, path.read_bytes())
