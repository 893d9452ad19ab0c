"""``docs/models.md`` says of every architecture what is proven of it."""

from __future__ import annotations

import pytest

from alma.engines.probe.prove import prove
from tests.builders.architectures import ARCHITECTURES, REFUSED
from tests.builders.models_page import COMMAND, PAGE, page, row, rows
from tests.engines.models.conftest import Subject

STALE = f"docs/models.md is out of date: {COMMAND}"


def check(request: pytest.FixtureRequest, subject: Subject) -> None:
    found = row(subject.model_type, prove(subject.folder))
    if request.config.getoption("--regenerate-golden"):
        PAGE.write_text(page(rows() | {subject.model_type: found}), encoding="utf-8")
    assert rows().get(subject.model_type) == found, STALE


def test_a_row_is_what_is_proven(request: pytest.FixtureRequest, subject: Subject) -> None:
    check(request, subject)


def test_a_row_says_why_a_model_is_refused(request: pytest.FixtureRequest, refused: Subject) -> None:
    check(request, refused)


def test_the_page_tells_of_every_architecture(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--regenerate-golden"):
        kept = {name: each for name, each in rows().items() if name in ARCHITECTURES | REFUSED}
        PAGE.write_text(page(kept), encoding="utf-8")
    assert sorted(rows()) == sorted(ARCHITECTURES | REFUSED), STALE
    assert PAGE.read_text(encoding="utf-8") == page(rows()), STALE
