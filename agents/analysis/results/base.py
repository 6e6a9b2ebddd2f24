"""The base of all results, and the types that several of them share."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Usd = Annotated[Decimal, Field(description="US dollars, to a millionth")]
PeriodUnit = Literal["minute", "hour", "day"]
OptionKind = Literal["cheaper_model", "prompt_caching", "batch"]
Level = Literal["low", "medium", "high"]


class Result(BaseModel):
    """Base of all results: frozen, closed, and with each field's docstring as its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
