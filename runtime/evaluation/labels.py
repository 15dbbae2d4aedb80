"""Names of classes that are spelt differently and mean the same."""

import re
from collections.abc import Iterable, Sequence

from vedette.runtime.errors import UsageError

SPELLING = {  # darknet's names, taken from VOC, and COCO's own
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}


def spelt(name: str) -> str:
    """A name as COCO writes it: small letters, single spaces."""
    plain = " ".join(re.split(r"[\s_-]+", name.strip().lower()))
    return SPELLING.get(plain, plain)


def positions(names: Sequence[str]) -> dict[str, int]:
    """Where each name is, by its spelling; the first of several."""
    found: dict[str, int] = {}
    for index, name in enumerate(names):
        found.setdefault(spelt(name), index)
    return found


def known(names: Iterable[str], others: Sequence[str]) -> list[int]:
    """Where each of some names is among others; -1 where it is not."""
    where = positions(others)
    return [where.get(spelt(name), -1) for name in names]


def chosen(names: Sequence[str], others: Sequence[str]) -> list[int]:
    """Where each of some names is among others, rising.

    Raises:
        UsageError: one is not there.
    """
    where = known(names, others)
    for name, index in zip(names, where, strict=True):
        if index < 0:
            told = ", ".join(others[:8]) + (" …" if len(others) > 8 else "")
            raise UsageError(f"the data has no category {name!r}", why=f"it has {told}", cure="use its names")
    return sorted(where)
