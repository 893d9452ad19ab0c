"""Asking an engine one thing, in one line: the fields of a request follow the engine."""

from __future__ import annotations

from typing import Any

from alma.engines import Completion, EmbedRequest, Floats, GenerateRequest, OnTokens, Rating, ScoreRequest, ask


def generate(engine: Any, *fields: Any, on_tokens: OnTokens = lambda _: None, **more: Any) -> list[list[Completion]]:
    completions_PN: list[list[Completion]] = ask(engine, GenerateRequest(*fields, **more), on_tokens)
    return completions_PN


def score(engine: Any, *fields: Any, on_tokens: OnTokens = lambda _: None, **more: Any) -> list[list[Rating]]:
    ratings_PN: list[list[Rating]] = ask(engine, ScoreRequest(*fields, **more), on_tokens)
    return ratings_PN


def embed(engine: Any, *fields: Any, **more: Any) -> Floats:
    vectors_PD: Floats = ask(engine, EmbedRequest(*fields, **more))
    return vectors_PD
