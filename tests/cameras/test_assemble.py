"""From a file to a Pipeline that runs."""

import inspect
import json
import stat
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import toy

from vedette.cameras import assemble
from vedette.cameras.assemble import addresses_of, assembled
from vedette.cameras.load import load
from vedette.cameras.problems import ConfigError
from vedette.runtime.errors import ModelError, SourceError, UsageError
from vedette.runtime.sinks.null import NullSink

PASSWORD = "a/b@c:d é%?#"


def written(folder: Path, text: str) -> Path:
    path = folder / "cameras.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def two_models(folder: Path, **more: str) -> Path:
    toy.recording(folder)
    extra = "".join(f"{key}: {value}\n" for key, value in more.items())
    return written(
        folder,
        f"models:\n  first: {folder}/toy.npz\n  second: {{model: {folder}/toy.npz, conf: 0.95, track: true}}\n"
        "  idle: nowhere.onnx\n"
        "cameras:\n"
        "  all: {source: 'synthetic:', models: [first, second]}\n"
        "  one: {source: 'synthetic:', models: [second], policy: all, stride: 2}\n"
        "  none: {source: 'synthetic:', models: []}\n"
        f"  idle: {{source: 'synthetic:', enabled: false, models: [idle]}}\n{extra}",
    )


def run_briefly(assembly: assemble.Assembly, frames: int = 4) -> dict[str, list[list[str]]]:
    """By stream, the models of each frame's results, until every stream had so many."""
    stop = threading.Event()
    found: dict[str, list[list[str]]] = {name: [] for name in assembly.sources}
    for frame, results in assembly.pipeline(stop=stop).run():
        found[frame.stream].append([result.model for result in results])
        if all(len(seen) >= frames for seen in found.values()):
            stop.set()
    return found


def test_cameras_go_through_their_models_and_results_into_the_sinks(tmp_path: Path) -> None:
    path = two_models(tmp_path, outputs=f"{{json: {tmp_path}/out.jsonl}}")
    with assembled(path) as assembly:
        assert list(assembly.sources) == ["all", "one", "none"]
        assert assembly.routes == {"all": [0, 1], "one": [1], "none": []}
        assert assembly.policies == {"one": "all"}
        assert [made is None for made in assembly.trackers] == [True, False]
        found = run_briefly(assembly)
    assert all(len(models) == 2 for models in found["all"])
    assert all(len(models) == 1 for models in found["one"])
    assert all(models == [] for models in found["none"])
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {record["stream"] for record in records} == {"all", "one"}
    assert {record["frame"] % 2 for record in records if record["stream"] == "one"} == {0}


def test_names_that_ask_for_the_same_share_a_model(tmp_path: Path) -> None:
    toy.recording(tmp_path)
    network = f"{{model: {tmp_path}/toy.npz, classes: [%s]}}"
    text = (
        f"models:\n  a: {network % 'cat'}\n  b: {network % 'dog'}\ncameras: {{x: {{source: 'synthetic:'}}}}\n"
    )
    with assembled(written(tmp_path, text)) as assembly:
        assert len(assembly.models) == 1
        assert len(assembly.runners) == 2
        model = assembly.models[0]
    with pytest.raises(UsageError, match="closed"):
        model.runner()


def test_packets_reach_every_sink_that_keeps_them(tmp_path: Path, clip: Path) -> None:
    """A stream that takes part is handed to both recorders; one that does not is not."""
    text = (
        f"cameras:\n  in: {{source: {clip}}}\n  out: {{source: {clip}, record: false}}\n"
        f"outputs: {{recording: {{folder: {tmp_path}/rec, min_free_gb: 0}}, events: {{folder: {tmp_path}/ev, min_free_gb: 0}}}}\n"
    )
    with assembled(written(tmp_path, text)) as assembly:
        for _ in assembly.pipeline().run():
            pass
        assert len(assembly.sinks) == 2
    recorded = {path.relative_to(tmp_path / "rec").parts[0] for path in (tmp_path / "rec").rglob("*.mp4")}
    assert recorded == {"in"}


def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    path = two_models(tmp_path, outputs=f"{{json: {tmp_path}/out.jsonl, recording: {tmp_path}/rec}}")
    (tmp_path / "out.jsonl").write_text("of an older run")
    with assembled(path, outputs=False) as assembly:
        assert assembly.sinks == []
    assert (tmp_path / "out.jsonl").read_text() == "of an older run"
    assert not (tmp_path / "rec").exists()


def taken(monkeypatch: pytest.MonkeyPatch, target: str) -> dict[str, Any]:
    """What a class is constructed with, in place of constructing it; the arguments must fit the real one."""
    module, _, name = target.rpartition(".")
    real, seen = inspect.signature(getattr(import_module(module), name)), dict[str, Any]()

    def construct(*given: Any, **named: Any) -> Any:
        seen.update(real.bind(*given, **named).arguments)
        return NullSink()

    monkeypatch.setattr(target, construct)
    return seen


def test_what_the_network_sinks_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = taken(monkeypatch, "vedette.runtime.sinks.mqtt.MqttSink")
    hook = taken(monkeypatch, "vedette.runtime.sinks.webhook.WebhookSink")
    for name in ("BROKER", "HOOK", "KEY", "LOGIN"):
        monkeypatch.setenv(name, f"value of {name}")
    text = (
        "cameras: {x: {source: 'synthetic:'}}\noutputs:\n"
        "  mqtt: {host: mq, port: 8883, username: u, password: {env: BROKER}, tls: true, qos: 1, every: change}\n"
        "  webhook: {url: {env: HOOK}, secret: {env: KEY}, headers: {Authorization: {env: LOGIN}, X-Site: n}, timeout: 2}\n"
    )
    with assembled(written(tmp_path, text)):
        pass
    asked = {
        "host": "mq",
        "port": 8883,
        "username": "u",
        "password": "value of BROKER",
        "tls": True,
        "qos": 1,
    }
    assert broker == {**asked, "every": "change", "topic": "vedette", "client_id": None}
    assert (hook["url"], hook["secret"], hook["timeout_s"]) == ("value of HOOK", "value of KEY", 2)
    assert hook["headers"] == {"Authorization": "value of LOGIN", "X-Site": "n"}


def test_what_the_recorders_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = taken(monkeypatch, "vedette.runtime.sinks.recording.RecordingSink")
    events = taken(monkeypatch, "vedette.runtime.sinks.events.EventClipsSink")
    lines = taken(monkeypatch, "vedette.runtime.sinks.jsonl.JsonLinesSink")
    text = (
        "cameras: {x: {source: 'synthetic:'}, y: {source: 'synthetic:', record: false}}\noutputs:\n"
        "  recording: {folder: r, segment: 30, keep_days: 7, keep_gb: 1.5, min_free_gb: 0.25}\n"
        "  events: {folder: e, classes: [dog], min_conf: 0.6, min_frames: 2, pre_roll: 1, post_roll: 2, max: 9}\n"
        "  json: {path: p, rotate_mb: 0.5, keep: 3}\n"
    )
    with assembled(written(tmp_path, text)):
        pass
    kept = {"keep_days": 7, "keep_bytes": 1_500_000_000, "min_free_bytes": 250_000_000}
    assert recording == {"folder": "r", "segment_s": 30, "streams": ["x"], **kept}
    rolls = {"pre_roll_s": 1, "post_roll_s": 2, "max_s": 9, "keep_days": None, "keep_bytes": None}
    found = {"folder": "e", "classes": ("dog",), "min_conf": 0.6, "min_frames": 2, "streams": ["x"]}
    assert events == {**found, **rolls, "min_free_bytes": 1_000_000_000}
    assert lines == {"path": "p", "rotate_bytes": 500_000, "keep": 3, "patient": True}


def test_taps_are_combined() -> None:
    seen: list[tuple[str, Any]] = []
    both = assemble._each(
        [lambda packet: seen.append(("a", packet)), lambda packet: seen.append(("b", packet))]
    )
    packet: Any = object()
    both(packet)
    assert seen == [("a", packet), ("b", packet)]


def test_a_user_and_password_are_encoded_into_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from urllib.parse import unquote, urlsplit

    monkeypatch.setenv("CAMERA_PASSWORD", PASSWORD)
    monkeypatch.setenv("CAMERA_URL", f"http://10.0.0.6/video?pwd={PASSWORD.replace('#', '')}")
    text = (
        "cameras:\n  yard: {source: 'rtsp://10.0.0.5:554/one?x=1', username: 'us er', password: {env: CAMERA_PASSWORD}}\n"
        "  gate: {source: {env: CAMERA_URL}}\n"
    )
    addresses = addresses_of(load(written(tmp_path, text)))
    parts = urlsplit(addresses["yard"])
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == ("us er", PASSWORD)
    assert (parts.hostname, parts.port, parts.path, parts.query) == ("10.0.0.5", 554, "/one", "x=1")
    told = str(SourceError(f"cannot open {addresses['yard']} or {addresses['gate']}", why=PASSWORD))
    assert "a/b" not in told
    assert "a%2Fb" not in told
    with assembled(written(tmp_path, text)) as assembly:
        assert all(
            "a/b" not in source.uri and "a%2F" not in source.uri for source in assembly.sources.values()
        )


def test_two_users_for_one_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA_URL", "rtsp://other:hunter2@10.0.0.6/")
    line = "  yard: {source: {env: CAMERA_URL}, username: u}"
    path = written(tmp_path, f"cameras:\n{line}\n")
    with pytest.raises(ConfigError, match=rf"cameras\.yaml:2:{line.index('u}') + 1}: ") as caught:
        addresses_of(load(path))
    assert "hunter2" not in str(caught.value)


def test_a_source_that_is_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, "cameras:\n  yard: {source: nowhere-hunter2.mp4}\n")
    with pytest.raises(SourceError, match=r"cameras\.yaml:2:18: ") as caught, assembled(path):
        pass
    assert "hunter2" not in str(caught.value)


def test_a_model_that_is_not_there_closes_what_was_opened(tmp_path: Path) -> None:
    text = f"models: {{m: {tmp_path}/none.onnx}}\ncameras: {{x: {{source: 'synthetic:'}}}}\n"
    text += f"outputs: {{json: {tmp_path}/out.jsonl}}\n"
    before = threading.active_count()
    with pytest.raises(ModelError), assembled(written(tmp_path, text)):
        pass
    assert threading.active_count() == before


def test_an_output_may_not_replace_a_source(tmp_path: Path, clip: Path) -> None:
    own = tmp_path / "clip.mp4"
    own.write_bytes(clip.read_bytes())
    path = written(tmp_path, f"cameras: {{x: {{source: {own}}}}}\noutputs: {{save: {tmp_path}}}\n")
    with pytest.raises(UsageError, match="will not write"), assembled(path):
        pass


def test_serving_and_its_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    token.chmod(stat.S_IRUSR)
    serve = f"{{address: '0.0.0.0:0', token: {{file: {token}}}}}"
    with assembled(
        written(tmp_path, f"cameras: {{x: {{source: 'synthetic:'}}}}\nserve: {serve}\n")
    ) as assembly:
        assert (assembly.serve, assembly.token) == ("0.0.0.0:0", "0123456789abcdef")
        assert assembly.pipeline().connect_timeout_s is None
