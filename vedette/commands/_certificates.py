"""A certificate on the terminal, and the progress of what makes it."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vedette.runtime.manifest import Certificate

LOG_EVERY_S = 5.0


def certificate_lines(certificate: Certificate) -> Iterator[str]:
    """What was verified, a line a fact."""
    shared = 1 - certificate.invented
    yield (
        f"verified {certificate.kept:.2%} of the reference's {certificate.decisions:,} {certificate.unit} kept,"
        f" {shared:.2%} of {certificate.found:,} shared by it, at conf >= {certificate.conf:g},"
        f" on {certificate.frames} frames ({certificate.frames_sha256[:12]})"
    )
    yield f"  drift of scores {certificate.drift_mean:.2g} in the mean, {certificate.drift_max:.2g} at most{_more(certificate)}"
    yield f"  reference {certificate.reference} ({certificate.reference_sha256[:12]})"
    yield f"  judged by {'the engine itself' if certificate.engine_ran else 'a stand-in'}: {certificate.judge}"
    if not certificate.engine_ran:
        yield f"  the engine itself has not run: {certificate.why_not}"


def _more(certificate: Certificate) -> str:
    """What only some tasks have."""
    told = "; mAP was not measured" if certificate.unit in ("boxes", "instances") else ""
    if certificate.map_loss is not None:
        told = f"; mAP loss {certificate.map_loss:.2f} points by {certificate.map_truth}"
    if certificate.mask_iou is not None:
        told += f"; mean IoU of masks {certificate.mask_iou:.4f}"
    if certificate.joints_near is not None:
        told += f"; {certificate.joints_near:.2%} of their joints near"
    if certificate.psnr_db is not None:
        told += f"; PSNR {certificate.psnr_db:.1f} dB at worst"
    if certificate.largest is not None:
        told += f"; largest float16 value {certificate.largest:.4g} of 65504"
    return told


@contextmanager
def verifying() -> Iterator[Callable[[int, int | None], None]]:
    """A function that is told of each frame: a bar on a terminal, a line now and then in a log, on standard error."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn("verifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=None, visible=False)
            yield lambda done, of: bar.update(task, completed=done, total=of, visible=True)
        return
    told = [time.monotonic()]

    def step(done: int, of: int | None) -> None:
        if time.monotonic() - told[0] >= LOG_EVERY_S:
            told[0] = time.monotonic()
            print(f"verified {done} frames" + (f" of {of}" if of else ""), file=sys.stderr, flush=True)

    yield step
