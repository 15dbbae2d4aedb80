"""A cameras file: accepted, or refused with line, column and cure."""

from pathlib import Path

import pytest
import yaml

from vedette.cameras.load import MOST_BYTES, load, parse, text_of
from vedette.cameras.problems import ConfigError, Problem
from vedette.runtime.errors import UsageError

DOCS = Path(__file__).parents[2] / "docs" / "cameras.md"
SMALLEST = "cameras: {yard: {source: a.mp4}}\n"


def documented() -> str:
    """The example of docs/cameras.md."""
    return DOCS.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]


def problems_of(text: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return caught.value.problems


def only_problem(text: str) -> Problem:
    (problem,) = problems_of(text)
    return problem


def place_of(text: str, word: str) -> tuple[int, int]:
    assert text.count(word) == 1
    before = text[: text.index(word)]
    return before.count("\n") + 1, len(before.split("\n")[-1]) + 1


def test_the_documented_example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("YARD_PASSWORD", "MQTT_PASSWORD", "WEBHOOK_SECRET"):
        monkeypatch.setenv(name, f"secret of {name}")
    path = tmp_path / "cameras.yaml"
    path.write_text(documented(), encoding="utf-8")
    document = load(path)
    assert document.secrets["cameras", "yard", "password"] == "secret of YARD_PASSWORD"
    assert document.config.models["people"].model == "openpose-thin"
    assert document.config.cameras["door"].models == ("objects", "people")
    assert document.config.serve is not None
    assert document.config.serve.address == "127.0.0.1:9100"
    assert "secret of" not in repr(document)


def test_the_smallest_file() -> None:
    camera = parse(SMALLEST).config.cameras["yard"]
    assert (camera.source, camera.stride, camera.policy, camera.record) == ("a.mp4", 1, None, True)


CASES = [
    ("cameras: {yard: {source: a.mp4, polcy: all}}", "polcy", "did you mean policy"),
    ("cameras: {yard: {source: a.mp4, policy: newest}}", "newest", "latest"),
    ("cameras: {yard: {source: a.mp4, policy: lates}}", "lates", "did you mean latest"),
    ("cameras:\n  yard: {source: a.mp4, stride: 0}", "0", "stride"),
    ("cameras: {yard: {source: a.mp4, stride: '2'}}", "'2'", "without quotes"),
    ("cameras: {yard: {source: a.mp4, stride: 2.5}}", "2.5", "without quotes"),
    ("cameras: {yard: {source: a.mp4, loop: 'true'}}", "'true'", "without quotes"),
    ("cameras: {yard: {source: a.mp4, username: 7}}", "7", "quote it"),
    ("cameras: {yard: {stride: 2}}", "yard", "source"),
    ("cameras: {ya rd: {source: a.mp4}}", "ya rd", "rename"),
    ("cameras: {yard: {source: [a]}}", "[a]", "quote it"),
    ("cameras: {}", "{}", "cameras"),
    ("cameras: [a]", "[a]", "KEY: VALUE"),
    ("cameras: {yard: {source: a.mp4, enabled: false}}", "{yard", "enable one"),
    ("cameras: {yard: {source: a.mp4, models: [objcts]}}\nmodels: {objects: nanodet}", "objcts", "did you mean objects"),
    ("cameras: {yard: {source: a.mp4, models: [a, 'a']}}\nmodels: {a: nanodet}", "'a'", "take it out"),
    ("cameras: {yard: {source: a.mp4, username: u}}", "u}", "username"),
    ("cameras: {yard: {source: 'http://h/', password: {env: P}}}", "{env", "username"),
    ("cameras: {yard: {source: 'http://h/?a=1&pwd=hunter2'}}", "'http", "{env: NAME}"),
    ("cameras: {yard: {source: 'rtsp://u:hunter2@h/'}}", "'rtsp", "username"),
    ("cameras: {yard: {source: a.mp4}}\nserve: 0.0.0.0:80", "0.0.0.0:80", "token"),
    ("cameras: {yard: {source: a.mp4}}\nserve: localhost", "localhost", "127.0.0.1"),
    ("cameras: {yard: {source: a.mp4}}\noutputs: {recording: x, events: ./x}", "./x", "own"),
    (f"{SMALLEST}outputs: {{webhook: {{url: 'http://h', headers: {{Cookie: hunter2}}}}}}", "{Cookie", "{env: NAME}"),
    ("cameras: {yard: {source: a.mp4}}\noutputs: {webhook: 'https://u:hunter2@h'}", "'https", "{env: NAME}"),
    ("cameras: {yard: {source: a.mp4}}\noutputs: {mqtt: {host: h, topic: a/#}}", "a/#", "TOPIC"),
    ("models: {a: {model: m, conf: 1.5}}\ncameras: {yard: {source: a.mp4}}", "1.5", "lowest score"),
    ("models: {a: {model: m, imgsz: [640]}}\ncameras: {yard: {source: a.mp4}}", "[640]", "imgsz"),
    ("models: {a: {model: m, backend: tensorr}}\ncameras: {yard: {source: a.mp4}}", "tensorr", "did you mean tensorrt"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "word", "cure"), CASES)
def test_what_is_wrong_where_and_its_cure(text: str, word: str, cure: str) -> None:
    problem = only_problem(text)
    assert (problem.line, problem.column) == place_of(text, word)
    assert cure in problem.cure
    assert "hunter2" not in f"{problem}"


def test_everything_that_is_wrong_is_told_in_the_order_of_the_file() -> None:
    text = (
        "models: {a: {modl: x}}\ncameras:\n  no: {source: a.mp4, stride: 1e3}\n  no: {source: 010}\nserv: x\n"
    )
    found = problems_of(text)
    assert [problem.line for problem in found] == sorted(problem.line for problem in found)
    assert {problem.line for problem in found} == {1, 3, 4, 5}
    told = str(ConfigError(Path("cameras.yaml"), found))
    assert told.count("cameras.yaml:") == told.count("  why: ") == told.count("  cure: ") == len(found)


def test_a_long_list_of_problems_is_cut() -> None:
    text = SMALLEST + "".join(f"x{index}: 1\n" for index in range(30))
    with pytest.raises(ConfigError, match="and 10 more after line 21"):
        raise ConfigError(Path("c"), problems_of(text)) from None
    assert len(problems_of(text)) == 30


@pytest.mark.parametrize(
    ("text", "place"),
    [("a: 1\nb: \x00\n", (2, 4)),
     ("a:\n \tb: 1\n", (2, 2)), ("a: \x1b[0m\n", (1, 4)), ("a: 1\x85b: 2\n", (1, 5)), ("a: b\r\nc:\r\n\td: 1", (3, 1))],
)  # fmt: skip
def test_characters_that_are_no_text(text: str, place: tuple[int, int]) -> None:
    assert place in {(problem.line, problem.column) for problem in problems_of(text)}


def test_bytes_that_are_no_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "cameras.yaml"
    path.write_bytes("cameras:\n  größe: \xff".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"cameras\.yaml:2:5: a byte that is not UTF-8"):
        load(path)


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "cameras.yaml"
    path.write_bytes("\ufeffcameras:\r\n  yard:\r\n    source: a.mp4\r\n".encode())
    assert "yard" in load(path).config.cameras


def test_files_that_are_none(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (MOST_BYTES + 1))
    for path in (tmp_path, tmp_path / "missing.yaml", large, Path("a\0b.yaml"), Path("/dev/zero")):
        with pytest.raises(UsageError):
            text_of(path)


def test_yaml_of_the_example_is_what_pyyaml_reads() -> None:
    """An independent reader finds the same cameras and models."""
    theirs = yaml.safe_load(documented())
    ours = parse(documented()).root.plain()
    assert ours["cameras"].keys() == theirs["cameras"].keys()
    assert ours["models"]["objects"]["conf"] == theirs["models"]["objects"]["conf"]
