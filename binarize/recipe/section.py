"""What every section of a recipe is made of: strict models whose keys describe themselves.

Unknown keys are refused, and nothing is converted behind the reader's back: `epochs: "3"` is an error,
not 3.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    field_validator,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic_core import CoreSchema

Share = Annotated[float, Field(ge=0, le=1)]
Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
PerChannel = Annotated[list[float], Field(min_length=3, max_length=3)]


def key(meaning: str, default: Any = ..., *, unit: str = "", **limits: Any) -> Any:
    """One recipe key: what it means, its default (none: it must be written), its unit and limits."""
    extra: JsonDict | None = {"unit": unit} if unit else None
    if callable(default):
        return Field(
            default_factory=default, description=meaning, json_schema_extra=extra, **limits
        )
    return Field(default=default, description=meaning, json_schema_extra=extra, **limits)


LARGEST_NUMBER = 1e9


class Section(BaseModel):
    """Base of all sections: unknown keys refused, no silent conversions, read-only."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        validate_default=True,
    )

    @field_validator("*")
    @classmethod
    def _fits_arithmetic(cls, value: Any) -> Any:
        """Numbers are multiplied by each other in 32 bits."""
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and abs(number) > LARGEST_NUMBER:
                raise ValueError(f"should be a number of at most {LARGEST_NUMBER:g}")
        return value


class Named(Section):
    """A section that may be written as its bare name."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        whole = handler.resolve_ref_schema(handler(core_schema))
        return {"anyOf": [{"type": "string"}, whole]}


def section_in(annotation: Any) -> type[Section] | None:
    """The section that a key of this type holds, alone, in a list or where not null."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    found = (section_in(part) for part in get_args(annotation))
    return next((section for section in found if section), None)
