from decimal import Decimal

import pytest

from agents.analysis.money import format_usd, percent_of, share_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("96.791325", "$96.79"),
        ("1234567.891", "$1,234,567.89"),
        ("-67.623", "-$67.62"),
        ("0", "$0.00"),
        ("0.005", "$0.0050"),
        ("0.015", "$0.02"),
        ("0.00325", "$0.0032"),
        ("0.000041", "$0.000041"),
        ("-0.00012", "-$0.00012"),
    ],
)
def test_amounts_are_written_for_people(amount, text):
    assert format_usd(Decimal(amount)) == text


def test_parts_of_nothing_are_nothing():
    assert percent_of(Decimal(1), Decimal(0)) == 0.0
    assert share_of(Decimal(1), Decimal(3)) == 0.333333
