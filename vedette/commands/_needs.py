"""What a verb needs that the base install lacks, told before it is missed."""

from importlib.util import find_spec

from vedette.runtime.errors import UsageError


def need_torch(verb: str) -> None:
    """Raise UsageError naming the missing packages of the `export` extra."""
    missing = [
        name for name in ("torch", "onnx", "onnxslim", "safetensors", "onnxruntime") if not find_spec(name)
    ]
    if missing:
        raise UsageError(
            f"{verb} needs {', '.join(missing)}",
            why="exporting runs the network in PyTorch; running it afterwards does not",
            cure="pip install 'vedette[export]'",
        )
