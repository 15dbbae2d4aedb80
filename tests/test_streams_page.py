"""docs/streams.md says what the code does."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vedette.runtime.status import SinkStatus, State, Status

PAGE = (Path(__file__).parents[1] / "docs" / "streams.md").read_text(encoding="utf-8")


def block(kind: str, number: int = 0) -> str:
    text: str = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[number]
    return text


def table(header: str) -> list[str]:
    """The first cells of a table, without their quotes."""
    after = PAGE.split(header, 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `([^`]+)`", after, re.MULTILINE)


def test_every_state_is_there() -> None:
    assert table("| state | |") == [state.value for state in State]


def test_every_code_is_there_and_is_one() -> None:
    errors = (Path(__file__).parents[1] / "runtime" / "errors.py").read_text(encoding="utf-8")
    (codes,) = re.findall(r"code: one word for programs: (.*)\.", errors)
    assert set(table("| code | |")) == set(re.split(", | or ", codes))


def test_every_metric_is_there_with_its_labels_and_type() -> None:
    pytest.importorskip("prometheus_client", reason="the extra `web` is not installed")
    from prometheus_client import generate_latest
    from prometheus_client.parser import text_string_to_metric_families as families

    from vedette.runtime._metrics import registry
    from vedette.runtime.monitor import Sight

    stream = Status("yard", "x", State.LIVE, dropped={"superseded": 1}, age_ms=1.0)
    sight = Sight(lambda: {"yard": stream}, lambda: [SinkStatus("s", dropped={"a": 1})], lambda: True)
    told = {}
    for family in families(generate_latest(registry(sight)).decode()):
        for sample in family.samples:
            labels = ",".join(name for name in ("stream", "sink", "state", "reason") if name in sample.labels)
            if sample.name.startswith("vedette_"):
                told[sample.name + (f"{{{labels}}}" if labels else "")] = family.type
    written = dict(re.findall(r"^\| `(vedette_[^`]+)` \| (\w+) \|", PAGE, re.MULTILINE))
    assert written == told


def test_the_example_is_a_file_of_cameras(tmp_path: Path) -> None:
    from vedette.cameras.load import load

    path = tmp_path / "cameras.yaml"
    secrets = tmp_path / "secret"
    secrets.write_text("hunter2")
    secrets.chmod(0o600)
    path.write_text(re.sub(r"/run/credentials/vedette.service/\w+", str(secrets), block("yaml")))
    assert list(load(path).config.cameras) == ["yard", "gate"]


def test_the_signature_check_agrees_with_the_sender() -> None:
    from vedette.runtime.sinks._post import Delivery, Target

    target = Target.of("http://host/", {}, "key", 1.0, 0)
    header = target.headers_of(Delivery("id", b"body"))["X-Vedette-Signature"]
    namespace: dict[str, object] = {}
    exec(block("python"), namespace)  # noqa: S102  the page's own example
    genuine = namespace["genuine"]
    assert callable(genuine)
    assert genuine(b"body", header, "key")
    assert not genuine(b"other", header, "key")


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "vedette.service"
    text = block("ini").replace("/opt/vedette/bin/vedette", "/bin/true").replace("=vedette\n", "=root\n")
    unit.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    mine = [line for line in done.stderr.splitlines() if "vedette.service" in line]
    assert (done.returncode, mine) == (0, [])
