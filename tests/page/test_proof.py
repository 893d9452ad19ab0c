"""What was proven of a model stands on the page, as text."""

from __future__ import annotations

from alma.page.numbers import Check, Point, Proof
from alma.page.proof import proven
from alma.page.training import training

CHECKS = (
    Check(check="a text read twice", differs=0.0, problem="", chosen=""),
    Check(check="joined into one row", differs=4.0, problem="", chosen="rows are padded"),
    Check(check="rated", differs=None, problem="IndexError: <b>", chosen="read whole"),
)


def test_the_latest_proof_is_a_table_of_the_trainings() -> None:
    first = Point(label="base", round=0)
    assert proven([first]) == ()
    points = [first, Point(label="round 01", round=1, proof=Proof(model_type="falcon", checks=CHECKS)), first]
    [(title, table)] = proven(points)
    assert title == "What was proven of the model (falcon)"
    assert [row[1:] for row in table.rows] == [
        ("none", "–"),
        ("4 nats", "rows are padded"),
        ("IndexError: <b>", "read whole"),
    ]
    assert training(points).missing, "without trainings there is no section"


def test_a_point_without_a_proof_is_written_as_before() -> None:
    assert "proof" not in Point(label="base", round=0).model_dump()
