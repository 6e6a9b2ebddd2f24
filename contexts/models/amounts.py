"""Amounts of a resource, as the database keeps them."""

from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from contexts.resources import RULES

AMOUNT_BOUND = Decimal(10) ** 15
"""Amounts are below this; a check of the database against it also keeps NaN out, which is above all."""


def amount_field(**options: Any) -> "models.DecimalField[Any, Any]":
    """Return the field of an amount in its resource's unit: 0 or more, exact to a millionth."""
    return models.DecimalField(max_digits=21, decimal_places=6, validators=[MinValueValidator(0)], **options)


def check_amount(resource: str, **amounts: Decimal | None) -> None:
    """Check that the amounts, by the names of their fields, are ones that the resource can have.

    Raises:
        ValidationError: for a fraction of what is whole.
    """
    rule = RULES.get(resource)
    if rule is None or not rule.is_whole:
        return
    problems = {
        name: f"{resource} are counted in whole numbers."
        for name, amount in amounts.items()
        if amount is not None and amount.is_finite() and amount != amount.to_integral_value()
    }
    if problems:
        raise ValidationError(problems)
