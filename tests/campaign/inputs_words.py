"""Command lines, drawn: a verb with its options, their values anything."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
from pathlib import Path

from alma.cli import parser as alma_parser
from cluster.__main__ import parser as cluster_parser
from tests.campaign.inputs import Case
from tests.campaign.inputs_values import NUMBERS, TEXTS, value


def words(draw: random.Random, folder: Path, world: Path) -> Case:
    """A command line: a verb with its options, their values anything."""
    shutil.copytree(world / "store", folder / "store", copy_function=os.link)
    program, made = draw.choice((("alma", alma_parser()), ("alma", alma_parser()), ("cluster", cluster_parser())))
    commands = next(each for each in made._actions if isinstance(each, argparse._SubParsersAction)).choices
    verb = draw.choice(sorted(set(commands) - {"serve", "chat"}))
    given: list[str] = [verb]
    for action in commands[verb]._actions:
        if isinstance(action, argparse._HelpAction) or action.dest in ("push", "watch"):
            continue
        if not action.option_strings:
            given += [word(draw) for _ in range(draw.choice((1, 1, 1, 0, 2)))]
        elif draw.random() < 0.35 or action.required:
            given.append(draw.choice(action.option_strings))
            given += [] if action.nargs == 0 else [word(draw)]
    if verb == "run":
        given.append("--in-process")
    return Case(program, [encodable(each) for each in given], folder, None, verb)


WORDS = (
    "store", "rows.jsonl", "examples", "ingest", "report", "finetune", "respond", "ingest/0123456789abcdef0123",
    "report/x", "ingest-0123456789abcdef0123-0", '{"kind": "pairs", "source": "rows.jsonl"}', '{"a": 1}', "[]",
    "@rows.jsonl", "0/8", "8/0", "seal", "run.toml", "sources", "scores", "alma.rounds=3",
    "model=ingest/0123456789abcdef0123", "x=rows.jsonl", "x=@y", '{"inputs": {}}',
    '{"inputs": {"parameterValues": {"a": "{}"}}}',
)  # fmt: skip


def word(draw: random.Random) -> str:
    chance = draw.random()
    if chance < 0.4:
        return draw.choice(WORDS)
    if chance < 0.75:
        return draw.choice(TEXTS)
    if chance < 0.9:
        return str(draw.choice(NUMBERS))
    return json.dumps(value(draw))[:100_000]


def encodable(word: str) -> str:
    """What can be a word of a command line: no NUL, no half characters but bytes that are no UTF-8."""
    return "".join(c for c in word if c != "\0" and not ("\ud800" <= c <= "\udfff" and not "\udc80" <= c <= "\udcff"))
