"""The decode loop: a token is chosen for every row, finished rows are taken out.

Axes: P prompts, B samples (rows of the batch), T tokens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from alma.engines.continuation import continuations
from alma.engines.hf.choose import Choice
from alma.engines.hf.growing import growing
from alma.engines.hf.model import HfModel
from alma.engines.hf.stop_texts import StopTexts
from alma.engines.requests import Completion, OnTokens
from alma.sections import Sampling


@dataclass(frozen=True, slots=True)
class Rows:
    """The samples of one batch: ``prompt_B`` numbers the prompts, ``limits_B`` is each row's most new tokens.

    ``uniforms_BT`` holds one number in [0, 1) per row and step; ``None`` decodes greedily.
    """

    prompt_B: list[int]
    limits_B: list[int]
    uniforms_BT: torch.Tensor | None


def decode(
    lm: HfModel,
    ids_PT: Sequence[Sequence[int]],
    rows: Rows,
    sampling: Sampling | None,
    stops: StopTexts,
    end_ids: torch.Tensor,
    on_tokens: OnTokens,
) -> list[Completion]:
    """Continues prompt ``prompt_B[b]`` for every row b."""
    [(_, completions)] = deque(decoding(lm, ids_PT, rows, sampling, stops, end_ids, on_tokens), maxlen=1)
    return completions


def decoding(
    lm: HfModel,
    ids_PT: Sequence[Sequence[int]],
    rows: Rows,
    sampling: Sampling | None,
    stops: StopTexts,
    end_ids: torch.Tensor,
    on_tokens: OnTokens,
) -> Iterator[tuple[torch.Tensor, list[Completion]]]:
    """As ``decode``, and yields after every token: the tokens of all rows so far, (B, T), and no completions yet.

    Behind the end of a row, zeros. Last come all tokens with the completions. Each step is to be taken in inference
    mode.
    """
    num_steps = max(rows.limits_B)
    texts = growing(lm, ids_PT, rows.prompt_B)
    logits_BV = texts.start(num_steps)
    choice = Choice(ids_PT, rows.prompt_B, sampling, rows.uniforms_BT, logits_BV.shape[1], lm.device)
    written = _Written([ids_PT[each][-1] for each in rows.prompt_B], num_steps, end_ids, stops)
    running = _Running(rows.limits_B, lm.device)
    num_open = len(rows.prompt_B)
    for step in range(num_steps):
        token_B = choice.token(logits_BV, running.row_B, step)
        on_tokens(num_open)
        running.open_B &= ~written.add(step, token_B, running)
        num_open = int(running.open_B.sum())
        if num_open == 0:
            break
        yield written.tokens_BT[:, : step + 1], []
        if num_open < texts.shrink_below * len(token_B):
            keep = running.open_B.nonzero()[:, 0]
            for each in (running, choice, texts):
                each.keep(keep)
            token_B = token_B[keep]
        logits_BV = texts.step(token_B)
    yield written.tokens_BT, written.completions(lm)


class _Running:
    """The rows that are still in the batch: their numbers, whether each is open, the most new tokens it may have."""

    def __init__(self, limits_B: Sequence[int], device: torch.device) -> None:
        self.row_B = torch.arange(len(limits_B), device=device)
        self.open_B = torch.ones(len(limits_B), dtype=torch.bool, device=device)
        self.limit_B = torch.tensor(limits_B, device=device)

    def keep(self, places: torch.Tensor) -> None:
        """Takes all rows but these out."""
        self.row_B, self.open_B, self.limit_B = self.row_B[places], self.open_B[places], self.limit_B[places]


class _Written:
    """What every row has, also when it has left the batch. ``before_B`` are the last tokens of the prompts."""

    def __init__(self, before_B: list[int], num_steps: int, end_ids: torch.Tensor, stops: StopTexts) -> None:
        num_rows, device = len(before_B), end_ids.device
        self.tokens_BT = torch.zeros(num_rows, num_steps, dtype=torch.long, device=device)
        self._length_B = torch.zeros(num_rows, dtype=torch.long, device=device)
        self._ended_B = torch.zeros(num_rows, dtype=torch.bool, device=device)
        self._cut_texts: dict[int, str] = {}
        self._before_B, self._end_ids, self._stops = before_B, end_ids, stops

    def add(self, step: int, token_B: torch.Tensor, running: _Running) -> torch.Tensor:
        """Takes a token of each running row; which of the open ones it ends: an end token, a stop text, the last."""
        row_B, open_B = running.row_B, running.open_B
        self.tokens_BT[row_B, step] = token_B
        ended_B = open_B & torch.isin(token_B, self._end_ids)
        places = self._stops.candidates(token_B, open_B & ~ended_B)
        rows = row_B[places].tolist()
        so_far = self.tokens_BT[rows, : step + 1].tolist()
        texts = self._stops.cut([self._before_B[row] for row in rows], so_far)
        for place, row, text in zip(places, rows, texts, strict=True):
            if text is not None:
                self._cut_texts[row] = text
                ended_B[place] = True
        self._ended_B[row_B[ended_B]] = True
        done_B = open_B & (ended_B | (running.limit_B <= step + 1))
        self._length_B[row_B[done_B]] = step + 1
        return done_B

    def completions(self, lm: HfModel) -> list[Completion]:
        """All rows as texts, without their end tokens."""
        ends = set(self._end_ids.tolist())
        lengths, endeds = self._length_B.tolist(), self._ended_B.tolist()
        kept_BT = [ids[:length] for ids, length in zip(self.tokens_BT.tolist(), lengths, strict=True)]
        kept_BT = [ids[:-1] if ids[-1] in ends else ids for ids in kept_BT]
        return [
            Completion(text=self._cut_texts.get(row, text), num_tokens=lengths[row], ended=endeds[row])
            for row, text in enumerate(continuations(lm.tokenizer, self._before_B, kept_BT))
        ]
