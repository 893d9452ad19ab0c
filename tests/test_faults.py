"""What is wrong with an object that was read: place, fault and value."""

import pytest
from pydantic import BaseModel, ValidationError

from alma.faults import first_fault


class _Point(BaseModel):
    label: str
    value: float = 0.0


class _Report(BaseModel):
    points: tuple[_Point, ...]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"points": [{"label": "a"}, {"label": 3}]}', "points.1.label: Input should be a valid string (it is 3)"),
        ('{"points": [{}]}', "points.0.label: is required"),
        ("[]", "Input should be an object (it is [])"),
        ('{"points": ', "Invalid JSON: EOF while parsing a value at line 1 column 11"),
    ],
)
def test_the_first_fault_is_told_with_its_place_and_value(text: str, said: str) -> None:
    with pytest.raises(ValidationError) as told:
        _Report.model_validate_json(text)
    assert first_fault(told.value) == said


def test_long_values_and_names_are_cut() -> None:
    with pytest.raises(ValidationError) as told:
        _Report.model_validate({"points": "x" * 10_000})
    assert len(first_fault(told.value)) < 200
