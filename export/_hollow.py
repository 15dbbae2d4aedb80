"""A module without its weights, for tracing; and the weights apart from it, read one at a time.

In: what makes a module, and weights by name.  Out: a module whose parameters are of the right shapes and take no memory,
or the same with its weights as they lie in their file, mapped and not read.  Next: _large.py, which writes the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from vedette.runtime.errors import ModelError

Make = Callable[[], nn.Module]
Read = Callable[[], torch.Tensor]
Weights = Mapping[str, Read]  # by the module's names; each reads one tensor
SMALL = (
    1e-6  # of the numbers in a hollow module, each of which is another, or the exporter would merge weights
)


@dataclass(frozen=True, slots=True, eq=False)
class Hollow:
    """A module to be, and where its weights are.

    Attributes:
        make: makes it; its parameters' numbers do not count.
        weights: of every parameter, by its name.
    """

    make: Make
    weights: Weights

    def empty(self) -> nn.Module:
        """The module with parameters of one number each, spread over their shape: it can be traced, and is not large."""
        with _Unallocated():
            module = self.make()
        for index, (name, value) in enumerate(list(module.named_parameters()), 1):
            _put(module, name, torch.full((1,), SMALL * index).expand(value.shape))
        return module.eval()

    def full(self) -> nn.Module:
        """The module with its weights, in the types that they are kept in; run it inside `Upcast`.

        Raises:
            ModelError: a weight is missing, unknown or of another shape.
        """
        with _Unallocated():
            module = self.make()
        for name, value in self._fitting(module):
            _put(module, name, value)
        return module.eval()

    def check(self) -> None:
        """Raise ModelError where a weight is missing, unknown or of another shape; one is read after the other."""
        with _Unallocated():
            module = self.make()
        for _ in self._fitting(module):
            pass

    def _fitting(self, module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
        shapes = {name: tuple(value.shape) for name, value in module.named_parameters()}
        for name in sorted({*shapes, *self.weights}):
            found = self.weights[name]() if name in self.weights else None
            _check(name, shapes.get(name), tuple(found.shape) if found is not None else None)
            if found is not None:
                yield name, found


class _Unallocated(TorchFunctionMode):
    """Parameters, which layers make with torch.empty, take no memory and no time; buffers are made as they are."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        elsewhere = {"device": "meta"} if func is torch.empty else {}
        return func(*args, **{**(kwargs or {}), **elsewhere})


class Upcast(TorchFunctionMode):
    """Weights of 16 bits become float32 where they are used, one at a time: the arithmetic is that of float32."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        wide = [_wide(value) for value in args]
        return func(*wide, **{name: _wide(value) for name, value in (kwargs or {}).items()})


def _wide(value: Any) -> Any:
    half = isinstance(value, nn.Parameter) and value.dtype in (torch.float16, torch.bfloat16)
    return value.data.float() if half else value


def _put(module: nn.Module, name: str, value: torch.Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(owner), leaf, nn.Parameter(value, requires_grad=False))


def _check(name: str, wanted: tuple[int, ...] | None, found: tuple[int, ...] | None) -> None:
    """Refuse a weight that does not fit.

    Raises:
        ModelError: it is missing, unknown or of another shape.
    """
    if wanted != found:
        raise ModelError(
            "the weights do not fit the configuration beside them",
            why=f"{name} is {list(found) if found else 'missing'}; expected {list(wanted) if wanted else 'nothing'}",
            cure="copy the folder again, whole, from where it was made",
        )
