"""A cameras file, read and checked: the only door, and nothing is opened or connected behind it.

In: a path.  Out: a Document, whose secrets are known to redact().  Next: tree.py, schema.py, checks.py; then assemble.py.
"""

import re
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from vedette.cameras.checks import faults_of
from vedette.cameras.nodes import Node, Refusal
from vedette.cameras.outputs import Outputs
from vedette.cameras.problems import ConfigError, Problem
from vedette.cameras.schema import Config
from vedette.cameras.secrets import Fault, Secrets, resolved
from vedette.cameras.told import placed, problems_of
from vedette.cameras.tree import tree_of
from vedette.runtime.errors import UsageError

MOST_BYTES = 1_000_000
SUFFIXES = {".yaml", ".yml"}
UNREADABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Document:
    """A cameras file that is right in itself.

    Attributes:
        secrets: the text of each, by its place: ("cameras", "yard", "password").
    """

    path: Path
    config: Config
    root: Node
    secrets: Secrets = field(repr=False, default_factory=dict)

    def place(self, *loc: str | int) -> str:
        """FILE:LINE:COLUMN of a key's value, for messages."""
        line, column = self.root.walked(loc)[1]
        return f"{self.path}:{line}:{column}"

    def silent(self) -> "Document":
        """The same without outputs."""
        return replace(self, config=self.config.model_copy(update={"outputs": Outputs()}))

    def error(self, faults: list[Fault]) -> ConfigError:
        """What is wrong, each at its place."""
        return ConfigError(self.path, [placed(self.root, *fault) for fault in faults])


def is_config(word: str) -> bool:
    """Whether a word on a command line is a cameras file: by its suffix."""
    return Path(word).suffix.lower() in SUFFIXES


def load(path: str | Path, *, secrets: bool = True) -> Document:
    """Read a cameras file and everything that it says of itself; and its secrets, unless told not to.

    Raises:
        ConfigError: all that is wrong, each with line and column.
        UsageError: there is no such file, or it cannot be read.
    """
    document = parse(text_of(Path(path)), Path(path))
    if not secrets:
        return document
    found, faults = resolved(document.config)
    if faults:
        raise document.error(faults)
    return Document(document.path, document.config, document.root, found)


def parse(text: str, path: Path = Path("cameras.yaml")) -> Document:
    """Check a cameras file that is in memory, without its secrets.

    Raises:
        ConfigError: all that is wrong.
    """
    _check_characters(text, path)
    try:
        root, problems = tree_of(text)
    except Refusal as refusal:
        raise ConfigError(path, [refusal.problem]) from None
    try:
        config = Config.model_validate(root.plain())
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise ConfigError(path, [*problems, *problems_of(found, root)]) from None
    problems += [placed(root, *fault) for fault in faults_of(config)]
    if problems:
        raise ConfigError(path, problems)
    return Document(path, config, root)


def text_of(path: Path) -> str:
    """The text of a file of bounded size; a byte order mark at its beginning is no part of it.

    Raises:
        ConfigError: it is not UTF-8.
        UsageError: there is no such file, it is too large, or it cannot be read.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise UsageError(
                f"{path} is not a file", why="a configuration is read from one", cure="name a .yaml file"
            )
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no file can have that name"
        raise UsageError(
            f"cannot read {path}", why=str(why), cure="check its name and who may read it"
        ) from None
    if len(data) > MOST_BYTES:
        raise UsageError(
            f"{path} is larger than a megabyte",
            why="no configuration is",
            cure="name a .yaml file, or split this one",
        )
    return _decoded(data, path)


def _decoded(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        what = "a byte that is not UTF-8"
        raise ConfigError(
            path, [_at(before, what, "the file was saved in another encoding", "save it as UTF-8")]
        ) from None


def _check_characters(text: str, path: Path) -> None:
    """Tabs would count differently in every editor; line breaks that only YAML 1.1 knows would shift every line."""
    text = text.replace("\r\n", "\n")
    found = [
        _at(text[: match.start()], "a control character", "YAML is plain text", "take it out")
        for match in [UNREADABLE.search(text)]
        if match
    ]
    found += [
        _at(
            text[: match.end() - 1],
            "a tab at the beginning of a line",
            "YAML indents by spaces",
            "use spaces",
        )
        for match in [re.search(r"^ *\t", text, re.MULTILINE)]
        if match
    ]
    if found:
        raise ConfigError(path, found)


def _at(before: str, what: str, why: str, cure: str) -> Problem:
    """A Problem at the end of a text."""
    return Problem(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1, what, why, cure)
