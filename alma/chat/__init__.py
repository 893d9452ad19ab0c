"""Talking with a model, or with two side by side: in a terminal, or through a pipe.

::

    find          what a person calls a model → its folder
    memory        whether its weights fit beside what is there already
    settings      how answers are drawn
    speaker       a model with all that it was asked and has answered
    commands      what is a command, and what is said to the models
    talk          what becomes of a line
    together      answers of several models, a token of each at a time
    interrupt     Ctrl-C stops an answer and nothing else
    screen        a terminal: answers as they grow, in columns where there is room
    pipe          no terminal: a line is a turn, and answers are lines

Model text is untrusted: nothing of it reaches a terminal but what ``alma.text.visible`` leaves of it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from alma.chat.find import find
from alma.chat.memory import check_fits
from alma.chat.pipe import Pipe
from alma.chat.screen import Screen
from alma.chat.settings import Settings
from alma.chat.speaker import Speaker
from alma.chat.talk import Talk
from alma.errors import ConfigError
from alma.sections import Inference
from alma.sections.inference import Dtype
from alma.stdout import kept_for_results


def chat(models: Sequence[str], settings: Settings, *, store_uri: str, dtype: Dtype = "auto", as_json: bool) -> None:
    """Talks with one model or two until the input ends. ``models`` as ``find`` takes them.

    Raises ``ConfigError`` where torch is not installed or memory does not do, ``DataError`` for what is no model that
    can be talked with; without a terminal also for a line that is not usable.
    """
    if len(models) > 2:
        raise ConfigError(f"{len(models)} models given; a conversation is with one, or with two side by side")
    if len(set(models)) < len(models):
        raise ConfigError(f"{models[0]} is given twice; it would say the same twice")
    with ExitStack() as stack:
        speakers = [stack.enter_context(_loaded(model, settings, store_uri, dtype)) for model in models]
        face = Screen() if sys.stdin.isatty() and sys.stdout.isatty() and not as_json else Pipe(as_json=as_json)
        Talk(speakers, settings, face).run()


@contextlib.contextmanager
def _loaded(model: str, settings: Settings, store_uri: str, dtype: Dtype) -> Iterator[Speaker]:
    with kept_for_results():
        found = find(model, store_uri)
        try:
            from alma.engines import load_streamer

            check_fits(found, dtype)
            engine = load_streamer(Inference(engine="hf", dtype=dtype, batch_rows=1), found.folder)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"talking with a model needs the package {error.name}; install it: pip install 'alma-align[torch]'"
            ) from error
    with engine:
        yield Speaker(found.name, engine, settings)
