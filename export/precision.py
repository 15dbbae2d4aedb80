"""Where precision lives: in the ONNX, strongly typed, because the newer TensorRT lanes have no precision flags."""

import warnings

from vedette.export.to_onnx import slimmed


def half_from_full(model: bytes) -> bytes:
    """A float32 graph in float16, with float32 at its doors, so that every backend feeds and reads the same arrays.

    Batch norm is folded by then: rounding before folding would round twice (FastestDet: 0.29 instead of 0.19 off).
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    graph = onnx.load_from_string(model)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # weights out of range become the nearest float16; parity judges the outcome
        half = convert_float_to_float16(graph, keep_io_types=True)
    return slimmed(half.SerializeToString())  # sorts the casts in, too
