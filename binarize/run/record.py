"""What all records of a run have in common: typed and checked when they are read.

A file that somebody else wrote is data, not trust: a record that does not say what it has to is an
InvalidRecord, which names the field.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from typing_extensions import Self

from binarize.errors import BinarizeError

Checked = TypeVar("Checked")


class InvalidRecord(ValueError):
    """A record that does not say what it has to: which field, and what is wrong with it."""


class Record(BaseModel):
    """Base of all records: unknown fields refused, no silent conversions, read-only."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )

    @classmethod
    def make(cls, **values: Any) -> Self:
        """The record of these values. Raises BinarizeError for one that a run must not hold."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise BinarizeError(problem_of(error), "give a value that a run can hold") from error

    def replace(self, **changes: Any) -> Self:
        """The same record with other values. Raises BinarizeError for one that a run must not hold."""
        return self.make(**{**dict(self), **changes})

    def to_json(self) -> dict[str, Any]:
        """Plain data that `json.dumps` takes."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The record in a JSON text. Raises InvalidRecord."""
        return cls.from_data(parse_json(text))

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """The record in plain data, as JSON has it. Raises InvalidRecord."""
        return checked(cls, data)


def checked(kind: type[Checked], data: Any) -> Checked:
    """Plain data, as JSON has it, as a record or another annotated class. Raises InvalidRecord."""
    try:
        text = json.dumps(data, allow_nan=False)
        return TypeAdapter(kind).validate_json(text, strict=True)  # JSON's lists may be tuples here
    except ValidationError as error:
        raise InvalidRecord(problem_of(error)) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidRecord("is not plain JSON, which has no NaN and no infinity") from error


def parse_json(text: str | bytes) -> Any:
    """The data of a JSON text. Raises InvalidRecord where it is none, or is nested without end."""
    try:
        data = json.loads(text)
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidRecord("is damaged: it holds half a character (a lone surrogate)") from error
    except (ValueError, RecursionError) as error:
        raise InvalidRecord("is damaged: it is not JSON") from error
    return data


def problem_of(error: ValidationError) -> str:
    """One sentence about the first thing that is wrong, with the number of others."""
    first, *others = error.errors(include_url=False, include_context=False)
    field = ".".join(map(str, first["loc"])) or "it"
    kind = first["type"]
    if kind == "missing":
        words = "is missing"
    elif kind == "extra_forbidden":
        words = "is not a field that this version knows"
    else:
        words = first["msg"].removeprefix("Value error, ")
        words = words.replace("Input should be", "should be")
    more = f" (and {len(others)} more)" if others else ""
    return f"{printable(field)}: {printable(words)}{more}"


def printable(text: str) -> str:
    """`text` in one line of at most 160 letters."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown if len(shown) <= 160 else f"{shown[:159]}…"
