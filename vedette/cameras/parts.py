"""What the schema is made of: strict mappings, short forms, secrets, and refusals with a cure."""

import re
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

Words = tuple[str | int, ...]
ENVIRONMENT = r"^[A-Za-z_][A-Za-z0-9_]*$"
URL = re.compile(r"https?://[^\s@]+", re.IGNORECASE)
PASSWORDS = r"(user_?)?(password|passwd|passwort|pass|pwd|psw)|(access_?)?token|secret|api_?key|auth"
PRIVATE_QUERY = re.compile(rf"://.*[?&;/_]({PASSWORDS})=", re.IGNORECASE)


def key(default: Any, text: str, **limits: Any) -> Any:
    """A field and what docs/cameras.md says of it; `...` is required."""
    return Field(default, description=text, **limits)


def refusal(what: str, why: str, cure: str) -> PydanticCustomError:
    """A validator's error, told as it stands after the path of its key."""
    return PydanticCustomError("refused", "{what}", {"what": what, "why": why, "cure": cure})


class Strict(BaseModel):
    """A mapping whose keys are all known, and whose values are of their kind already."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class Short(Strict):
    """A mapping that a plain text may stand for: the value of its key SHORT."""

    SHORT: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _expanded(cls, value: Any) -> Any:
        return {cls.SHORT: value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler(core)]}


class Secret(Strict):
    """A secret, which is never in the file: one of the two keys says where it is."""

    env: str | None = key(None, "name of an environment variable", pattern=ENVIRONMENT)
    file: str | None = key(
        None,
        "path of a file that holds it, and nothing else; one line break at its end is not part of it",
        min_length=1,
    )

    @model_validator(mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise refusal(
                "is a secret, and stands in the file",
                "this file is no place for it",
                "{env: NAME}, or {file: PATH}",
            )
        if len(value) != 1 or not value.keys() <= {"env", "file"}:
            raise refusal(
                "does not say where the secret is",
                "it has one key, env or file",
                "{env: NAME}, or {file: PATH}",
            )
        return value


def secret_or_text(*, numbers: bool = False) -> Any:
    """Of `Secret | str`: which of the two a value is; only one of them is tried, and only its errors are told."""
    return _Either(numbers=numbers)


class _Either:
    def __init__(self, *, numbers: bool) -> None:
        self._numbers = numbers

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic import BeforeValidator

        either = Annotated[
            Annotated[str, Tag("text")] | Annotated[Secret, Tag("secret")],
            Discriminator(lambda value: "secret" if isinstance(value, dict | Secret) else "text"),
            BeforeValidator(self._worded),
        ]
        return handler.generate_schema(either)

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        made: dict[str, Any] = handler(core)
        number = {"type": "integer", "minimum": 0}
        return {**made, "oneOf": [*made["oneOf"], number]} if self._numbers else made

    def _worded(self, value: Any) -> Any:
        """A camera's number is as good as its text."""
        fits = self._numbers and isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return str(value) if fits else value
