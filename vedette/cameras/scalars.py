"""What a word without quotes means: text, a number, true or false; or a trap, which YAML 1.1 and 1.2 read differently.

Source: YAML 1.1's type repository (bool, int, float, timestamp), and the core schema of YAML 1.2.2, 10.3.2.
"""

import re
from dataclasses import dataclass

import yaml

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Trap:
    """A word that cannot be taken as it stands."""

    what: str
    why: str
    cure: str


QUOTE = "quote it, '…', if it is text"
NULLS = {"", "~", "null", "Null", "NULL"}
TRUE, FALSE = {"true", "True", "TRUE"}, {"false", "False", "FALSE"}
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\.[0-9]{0,30}|\.[0-9]{1,30}")
TRAPS = [
    (
        re.compile(r"yes|no|on|off", re.IGNORECASE),
        Trap(
            "yes, no, on or off without quotes",
            "YAML 1.1 reads it as true or false, YAML 1.2 as text",
            "write true or false; or quote it, '…', if it is text",
        ),
    ),
    (
        re.compile(r"[-+]?0[0-9_]+(\.[0-9_]*)?"),
        Trap(
            "a number that begins with 0",
            "YAML 1.1 reads it as octal, YAML 1.2 as decimal",
            f"leave the 0 out; or {QUOTE}",
        ),
    ),
    (
        re.compile(r"[-+]?0[xob][0-9a-f_]+", re.IGNORECASE),
        Trap(
            "a hexadecimal, octal or binary number",
            "YAML 1.1 and 1.2 read it differently",
            f"write it as a decimal; or {QUOTE}",
        ),
    ),
    (
        re.compile(r"[-+]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)e[-+]?[0-9]+", re.IGNORECASE),
        Trap(
            "a number with an exponent",
            "YAML 1.1 reads some of these as text, YAML 1.2 as numbers",
            f"write it out, 1000 for 1e3; or {QUOTE}",
        ),
    ),
    (
        re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"),
        Trap(
            "a number with colons",
            "YAML 1.1 reads 12:30 as 750, in base 60",
            f"write seconds as one number; or {QUOTE}",
        ),
    ),
    (
        re.compile(r"[-+]?[0-9]+(\.[0-9]*)?"),
        Trap(
            "a number of too many digits", "18 and 30 behind the point are the most", f"round it; or {QUOTE}"
        ),
    ),
]
OTHER = Trap(
    "a word that is not text to YAML 1.1",
    "it reads dates, numbers with _, .inf, .nan, = and << as values of their own",
    f"write a plain number; or {QUOTE}",
)


def scalar_of(text: str) -> Scalar | Trap:
    """The value of a word without quotes."""
    if text in NULLS:
        return None
    if text in TRUE or text in FALSE:
        return text in TRUE
    if INTEGER.fullmatch(text):
        return int(text)
    if DECIMAL.fullmatch(text):
        return float(text)
    for pattern, trap in TRAPS:
        if pattern.fullmatch(text):
            return trap
    return OTHER if _is_special(text) else text


def _is_special(text: str) -> bool:
    """Whether PyYAML, which follows YAML 1.1, would make anything but text of it."""
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers
    return any(pattern.match(text) for _, pattern in resolvers.get(text[0], []))
