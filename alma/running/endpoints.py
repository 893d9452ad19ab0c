"""Endpoints that a run asks, reached once before any work: a wrong key or address is told then, not rounds later."""

from __future__ import annotations

from alma.config import Method
from alma.errors import AlmaError
from alma.recipes.graph import graph
from alma.sections import OpenAI, endpoint_of
from alma.store.waiting import waiting


def endpoints(cfg: Method) -> dict[str, OpenAI]:
    """Use → the endpoint that it asks, of every use that the run's steps have."""
    found: dict[str, OpenAI] = {}
    for use in dict.fromkeys(step.use for step in graph(cfg)):
        settings = endpoint_of(cfg.uses[use])
        if settings is not None:
            found[use] = settings
    return found


def check_endpoints(cfg: Method) -> list[str]:
    """Every endpoint answers, takes the key and serves its model; returns a line for each, naming its use.

    Nothing is generated, so nothing is paid. Raises as ``Endpoint`` does.
    """
    lines = []
    for use, settings in endpoints(cfg).items():
        from alma.engines.openai.endpoint import Endpoint

        try:
            with waiting(settings.endpoint), Endpoint(settings):
                found = f"serves {settings.model}" if settings.listed else "is not looked at: openai.listed = false"
                lines.append(f"{use}: {settings.endpoint} {found}")
        except AlmaError as error:
            raise type(error)(f"{use}: {error}") from error
    return lines
