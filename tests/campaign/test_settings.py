"""Settings at their edges, one or several: a run file is refused by a sentence, or loads, and can be planned."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Iterator
from typing import get_args

from pydantic.fields import FieldInfo

from alma.config import Alma, Isara, load
from alma.errors import ConfigError
from alma.plan import plan, print_plan
from alma.sections import Section
from tests.builders.submitting import ROOT
from tests.campaign.conftest import Campaign

METHODS = {"micro.toml": Alma, "isara-micro.toml": Isara}

EDGES = ("0", "1", "-1", "2", "1_000", "9223372036854775807", "1e12", "1e-9", "1e-300", "1e300", "0.999999999", "0.5")
EDGES += ("nan", "inf", "-inf", "true", '""', '"x"', "[]", "{}", '["", ""]')


def places(model: type[Section], before: str) -> Iterator[tuple[str, FieldInfo]]:
    """Every setting of a section and of those in it, by its place in a run file."""
    for name, field in model.model_fields.items():
        yield f"{before}{name}", field
        for each in (field.annotation, *get_args(field.annotation)):
            if isinstance(each, type) and issubclass(each, Section):
                yield from places(each, f"{before}{name}.")


PLACES = {file: [place for place, _ in places(model, f"{model.root}.")] for file, model in METHODS.items()}


def test_settings_at_their_edges(campaign: Campaign) -> None:
    def check(draw: random.Random) -> None:
        file = draw.choice(list(METHODS))
        overrides = [f"{draw.choice(PLACES[file])}={draw.choice(EDGES)}" for _ in range(draw.choice((1, 1, 2, 4)))]
        try:
            cfg = load(ROOT / "examples" / file, overrides)
        except ConfigError:
            return
        tokens = draw.choice((1, 100, 10**15))
        with contextlib.redirect_stdout(io.StringIO()):
            print_plan(plan(cfg, prompt_tokens=tokens, response_tokens=tokens))

    campaign.each(check, cases=40)
