"""What the sections of the configuration have in common: strictness, the spelling of `none`, and bounded numbers."""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """Strict: an unknown key is an error, so is a value of another type, and nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _none_is_spelt(cls, values: Any) -> Any:
        """TOML has no null, so `none` stands for it where a key may be empty."""
        if not isinstance(values, dict):
            return values
        return {key: None if value == "none" and cls.may_be_none(key) else value for key, value in values.items()}

    @classmethod
    def may_be_none(cls, key: str) -> bool:
        """Whether `none` leaves a key of this section empty (where it is a choice like any other, it does not)."""
        field = cls.model_fields.get(key)
        options = get_args(field.annotation) if field is not None else ()
        choices = [choice for option in options if get_origin(option) is Literal for choice in get_args(option)]
        return NoneType in options and "none" not in choices
