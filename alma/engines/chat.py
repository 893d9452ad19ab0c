"""Chat templates: from a prompt and a response to the tokens that training and generation share.

What a model is trained on has to be, token for token, what it will read and write when it generates. So the prompt's
tokens come from the same text that ``Generator.chat`` gives, the response's tokens are the rest of the template's own
rendering (``alma.engines.template``), and the turn ends with the token at which generation stops.

No torch here: ``ingest`` checks a model with it before anything is trained.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from alma.engines.chance import chances
from alma.engines.dialogue import Dialogue, Roles, answering, asking
from alma.engines.encoding import encode, encode_inner
from alma.engines.template import PROBES, Template
from alma.engines.tokenizer import load_tokenizer, special_texts, stop_ids
from alma.errors import ConfigError, DataError
from alma.prompts import quote
from alma.prompts.conversation import Message, messages, who_speaks
from alma.prompts.markers import markers, rating_literals
from alma.sections import Turns
from alma.text.turns import chat_template


class Exchange(NamedTuple):
    """A prompt and its answer, behind the ``earlier`` turns of their conversation."""

    prompt: str
    response: str
    earlier: tuple[Message, ...] = ()


class Turn(NamedTuple):
    """One prompt and its response as token ids; ``completion_ids`` ends with the token that ends generation."""

    prompt_ids: list[int]
    completion_ids: list[int]


def check_stop_texts(stop: Sequence[str]) -> None:
    """Raises ``ConfigError`` for an empty stop text."""
    if "" in stop:
        raise ConfigError("stop holds an empty text, which would end every continuation at once; remove it")


def check_conversations(model: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Raises ``DataError``, naming the row, where the model in this folder cannot be asked and trained in its turns.

    ``rows`` have ``id``, and ``earlier`` as an artifact has it.
    """
    known: set[Roles] = set()
    tokenizer = None
    for row in rows:
        roles = who_speaks(messages(row["earlier"]))
        if roles in known or len(roles) == 1:
            continue
        known.add(roles)
        tokenizer = tokenizer or load_tokenizer(model)
        try:
            fault = Dialogue.of(tokenizer, roles).fault
        except DataError as error:
            fault = str(error)
        if fault is not None:
            raise DataError(f"row {row['id']}: {fault}")


def stop_texts(tokenizer: Any, rating_template: str | None = None) -> tuple[str, ...]:
    """The texts that end an answer: what the chat template, and the rating prompt, write around answers.

    See ``alma.prompts.markers``. Special tokens are none, for they end it anyway; nor are tokens that models write in
    their answers (``<think>``).
    """
    literals = [*_around(tokenizer), *(rating_literals(rating_template) if rating_template else ())]
    return markers(literals, _tokens(tokenizer))


def turns_template(model: Path, turns: Turns) -> str:
    """The chat template of ``turns`` for the model in this folder.

    An answer ends with the tokenizer's end token, unless what the turns write behind it begins with a token at which
    generation stops: then that is what a model learns to end with.
    """
    tokenizer = load_tokenizer(model)
    behind = turns.answer.partition("{answer}")[2]
    stops = stop_ids(model, tokenizer)
    ends = any(ids and ids[0] in stops for ids in encode_inner(tokenizer, [behind]))
    return chat_template(turns, "" if ends else "{{ eos_token }}")


def render_turns(tokenizer: Any, exchanges: Sequence[Exchange], stops: Collection[int]) -> list[Turn | None]:
    """Token ids of prompts with their answers; ``stops`` as of ``stop_ids``.

    ``completion_ids`` goes up to and including the first stop token after the response; what the template writes after
    it (a line break, say) is never generated and is left out. ``None`` where the prompt's tokens are not the beginning
    of the whole's (a response that begins with a line break may merge with the template's last one) or no stop token
    follows: such a row would teach what generation never sees.
    """
    asked = encode(tokenizer, [asking(tokenizer, each.prompt, each.earlier) for each in exchanges])
    whole = encode(tokenizer, [answering(tokenizer, each.prompt, each.response, each.earlier) for each in exchanges])
    turns: list[Turn | None] = []
    for prompt_ids, ids, each in zip(asked, whole, exchanges, strict=True):
        end = _end(tokenizer, ids, len(prompt_ids), each.response, stops)
        aligned = ids[: len(prompt_ids)] == prompt_ids
        turns.append(Turn(prompt_ids, ids[len(prompt_ids) : end]) if aligned and end is not None else None)
    return turns


def check_chat(model: Path) -> None:
    """Raises ``DataError`` with all of ``chat_faults``, a line each."""
    faults = chat_faults(model)
    if faults:
        raise DataError("\n".join(f"{model}: {fault}" for fault in faults))


def chat_faults(model: Path) -> list[str]:
    """Why the model in this folder cannot be trained and asked by its chat template; nothing where it can.

    Its tokenizer must have a template, the template must write what it is given between texts of its own that do not
    depend on it (``alma.engines.template``), and a token at which generation stops must follow the answer.
    """
    try:
        tokenizer = load_tokenizer(model)
    except DataError as error:
        return [str(error)]
    faults: list[str] = []
    stops: frozenset[int] = frozenset()
    try:
        stops = stop_ids(model, tokenizer)
    except DataError as error:
        faults.append(str(error))
    if not tokenizer.chat_template:
        return [*faults, "has no chat template; set chat_template of its section, or add chat_template.jinja"]
    faults += [
        f"the chat template holds {word}: what it writes would differ from one time to the next; remove it"
        for word in chances(tokenizer.chat_template)
    ]
    try:
        template = Template.of(tokenizer)
    except DataError as error:
        return [*faults, str(error)]
    if template.fault is not None:
        return [*faults, template.fault]
    if not stops:
        return faults
    for prompt, response in PROBES:
        asked, ids = encode(tokenizer, [template.prompt(prompt), template.turn(prompt, response)])
        if _end(tokenizer, ids, len(asked), response, stops) is None:
            ends = ", ".join(f"{tokenizer.convert_ids_to_tokens(each)!r} ({each})" for each in sorted(stops))
            return [
                *faults,
                f"nothing ends the assistant's turn {tokenizer.decode(ids[len(asked) :])!r} where generation "
                f"stops, which is at {ends}; write the end token after the answer in chat_template, or add the "
                "template's own one to eos_token_id in generation_config.json",
            ]
    return faults


def chat_notes(model: Path) -> list[str]:
    """What is done by itself because of its chat template, of a model without ``chat_faults``; for who reads a log."""
    tokenizer = load_tokenizer(model)
    template = Template.of(tokenizer)
    notes = []
    if template.opening.strip():
        notes.append(
            f"the chat template writes {template.opening!r} before every answer: generation is asked with it, and it "
            "is taken off what is generated"
        )
    if template.left_out.strip():
        notes.append(
            f"the chat template's generation prompt ends with {template.left_out!r}, which its own turns do not have: "
            "it is left out"
        )
    if ends := stop_texts(tokenizer):
        notes.append(f"beside its end token, texts of the chat template end an answer: {_listed(ends)}")
    elif not any(token in literal for token in special_texts(tokenizer) for literal in template.turns):
        notes.append(
            "beside its end token nothing ends an answer: what the chat template writes around answers is too much "
            "like ordinary text; a marker such as '### User:' would"
        )
    return notes


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(map(repr, texts))


def _around(tokenizer: Any) -> tuple[str, ...]:
    return Template.of(tokenizer).turns if tokenizer.chat_template else ()


def _tokens(tokenizer: Any) -> frozenset[str]:
    return special_texts(tokenizer) | {token.content for token in tokenizer.added_tokens_decoder.values()}


def _end(tokenizer: Any, ids: list[int], start: int, response: str, stops: Collection[int]) -> int | None:
    """Where the assistant's turn ends: one past the first stop token after the response."""
    places = [place for place, each in enumerate(ids[start:], start) if each in stops]
    inner = 0
    if len(places) > 1:  # rare: the end token is an ordinary one of the response, or the template writes another one
        inner = sum(each in stops for each in encode_inner(tokenizer, [quote(response)])[0])
    return places[inner] + 1 if len(places) > inner else None
