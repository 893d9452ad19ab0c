"""How a campaign draws its cases: from one seed, each case by itself, so that one that fails can be run alone.

A test that starts processes takes ``draw`` and is marked; every draw is a test of its own::

    @pytest.mark.campaign(cases=4)
    def test_a_kill(draw: random.Random) -> None: ...

One whose cases are cheap takes ``campaign``, which calls it with one draw after the other::

    def test_a_line(campaign: Campaign) -> None:
        def check(draw: random.Random) -> None: ...

        campaign.each(check, cases=500)

``--campaign-size`` multiplies the cases. The end of the run says how many were tried (``tests/conftest.py``).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.builders.warm import Warm
from tests.campaign.tiny import Tiny, undisturbed


@dataclass(frozen=True)
class Campaign:
    """The size and the seed of this campaign, and the test that asks."""

    size: int
    seed: int
    test: pytest.Item

    def each(self, check: Callable[[random.Random], None], cases: int) -> None:
        """Calls ``check`` with ``cases`` draws, times the size; an error says which case it was."""
        tried = 0
        try:
            for number in range(cases * self.size):
                tried += 1
                check(drawn(self.seed, self.test.name, number))
        except Exception as error:
            error.add_note(f"case {number} of seed {self.seed}")
            raise
        finally:
            self.test.user_properties.append(("tried", tried))


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> Campaign:
    return Campaign(*_size_and_seed(request.config), request.node)


class Draw(random.Random):
    """The random numbers of one case, whatever other cases there are; and which it is."""

    number = 0


def drawn(seed: int, test: str, number: int) -> Draw:
    """Case ``number`` of a test."""
    draw = Draw(f"{seed} {test} {number}")
    draw.number = number
    return draw


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("campaign")
    if marker:
        size, seed = _size_and_seed(metafunc.config)
        name = metafunc.function.__name__
        cases = [drawn(seed, name, number) for number in range(marker.kwargs["cases"] * size)]
        metafunc.parametrize("draw", cases, ids=[f"seed{seed}-{number}" for number in range(len(cases))])


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("campaign"):
        item.user_properties.append(("tried", 1))


def _size_and_seed(config: pytest.Config) -> tuple[int, int]:
    return config.getoption("campaign_size"), config.getoption("campaign_seed")


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    with Warm() as warm:
        yield warm


@pytest.fixture(scope="session")
def tiny(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return undisturbed(warm, tmp_path_factory.mktemp("undisturbed"))
