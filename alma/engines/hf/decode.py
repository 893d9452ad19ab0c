"""The decode loop: a token is chosen for every row, finished rows are taken out.

Axes: P prompts, B samples (rows of the batch), T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from alma.engines.continuation import continuations
from alma.engines.hf.growing import growing
from alma.engines.hf.model import HfModel
from alma.engines.hf.ngrams import Ban
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
    completions: list[Completion] = []
    for _, completions in decoding(lm, ids_PT, rows, sampling, stops, end_ids, on_tokens):  # noqa: B007 - the last ones
        pass
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
    num_rows, num_steps = len(rows.prompt_B), max(rows.limits_B)
    before_B = [ids_PT[each][-1] for each in rows.prompt_B]
    # By row; what shrinks with the batch is in _Open.
    tokens_BT = torch.zeros(num_rows, num_steps, dtype=torch.long, device=lm.device)
    length_B = torch.zeros(num_rows, dtype=torch.long, device=lm.device)
    ended_B = torch.zeros(num_rows, dtype=torch.bool, device=lm.device)
    cut_texts: dict[int, str] = {}

    texts = growing(lm, ids_PT, rows.prompt_B)
    logits_BV = texts.start(num_steps)
    running = _Open(
        row_B=torch.arange(num_rows, device=lm.device),
        open_B=torch.ones(num_rows, dtype=torch.bool, device=lm.device),
        limit_B=torch.tensor(rows.limits_B, device=lm.device),
        uniforms_BT=None if rows.uniforms_BT is None else rows.uniforms_BT.to(lm.device),
    )
    penalty = 1.0 if sampling is None else sampling.repetition_penalty
    if penalty != 1.0:
        running.seen_BV = seen(ids_PT, logits_BV.shape[1], lm.device)[torch.tensor(rows.prompt_B, device=lm.device)]
    ban = Ban(0 if sampling is None else sampling.no_repeat_ngram_size, [ids_PT[each] for each in rows.prompt_B])
    num_open = num_rows
    for step in range(num_steps):
        uniform_B = None if running.uniforms_BT is None else running.uniforms_BT[:, step]
        if running.seen_BV is not None:
            logits_BV = penalised(logits_BV, running.seen_BV, penalty)
        token_B = choose(ban.laid_on(logits_BV, running.row_B), uniform_B, sampling)
        ban.add(running.row_B, token_B)
        if running.seen_BV is not None:
            running.seen_BV.scatter_(1, token_B[:, None], value=True)
        tokens_BT[running.row_B, step] = token_B
        on_tokens(num_open)
        ended = running.open_B & torch.isin(token_B, end_ids)
        places = stops.candidates(token_B, running.open_B & ~ended)
        cut_rows = running.row_B[places].tolist()
        so_far = tokens_BT[cut_rows, : step + 1].tolist()
        for place, row, text in zip(
            places, cut_rows, stops.cut([before_B[row] for row in cut_rows], so_far), strict=True
        ):
            if text is not None:
                cut_texts[row] = text
                ended[place] = True
        done = running.open_B & (ended | (running.limit_B <= step + 1))
        length_B[running.row_B[done]] = step + 1
        ended_B[running.row_B[ended]] = True
        running.open_B &= ~done
        num_open = int(running.open_B.sum())
        if num_open == 0:
            break
        yield tokens_BT[:, : step + 1], []
        if num_open < texts.shrink_below * len(token_B):
            keep = running.open_B.nonzero()[:, 0]
            running.keep(keep)
            texts.keep(keep)
            token_B = token_B[keep]
        logits_BV = texts.step(token_B)

    ends = set(end_ids.tolist())
    lengths, endeds = length_B.tolist(), ended_B.tolist()
    kept_BT = [ids[:length] for ids, length in zip(tokens_BT.tolist(), lengths, strict=True)]
    kept_BT = [ids[:-1] if ids[-1] in ends else ids for ids in kept_BT]
    yield (
        tokens_BT,
        [
            Completion(text=cut_texts.get(row, text), num_tokens=lengths[row], ended=endeds[row])
            for row, text in enumerate(continuations(lm.tokenizer, before_B, kept_BT))
        ],
    )


@dataclass(slots=True)
class _Open:
    """The rows still in the batch. ``row_B`` are their numbers; ``open_B`` is false for those that are done."""

    row_B: torch.Tensor
    open_B: torch.Tensor
    limit_B: torch.Tensor
    uniforms_BT: torch.Tensor | None
    seen_BV: torch.Tensor | None = None  # tokens that the row holds, where they are penalised

    def keep(self, places: torch.Tensor) -> None:
        """Takes all rows but these out."""
        for name in ("row_B", "open_B", "limit_B", "uniforms_BT", "seen_BV"):
            value = getattr(self, name)
            setattr(self, name, None if value is None else value[places])


def seen(ids_PT: Sequence[Sequence[int]], num_ids: int, device: torch.device) -> torch.Tensor:
    """Which tokens each prompt holds: (P, V) bool."""
    seen_PV = torch.zeros(len(ids_PT), num_ids, dtype=torch.bool, device=device)
    for place, ids in enumerate(ids_PT):
        seen_PV[place, torch.tensor(ids, device=device)] = True
    return seen_PV


def penalised(logits_BV: torch.Tensor, seen_BV: torch.Tensor, penalty: float) -> torch.Tensor:
    """Logits, less for tokens seen before by ``Sampling.repetition_penalty`` (arXiv 1909.05858): (B, V)."""
    less_BV = torch.where(logits_BV < 0, logits_BV * penalty, logits_BV / penalty)
    return torch.where(seen_BV, less_BV, logits_BV)


def choose(logits_BV: torch.Tensor, uniform_B: torch.Tensor | None, sampling: Sampling | None) -> torch.Tensor:
    """One token per row: the most probable, or that at ``uniform_B`` of the nucleus, most probable first: (B,)."""
    if sampling is None or uniform_B is None:
        return logits_BV.argmax(-1)
    probs, order = (logits_BV.float() / sampling.temperature).softmax(-1).sort(dim=-1, descending=True, stable=True)
    cumulative = probs.cumsum(-1)
    # The smallest set of most probable tokens that reaches top_p: those before which top_p is not yet reached.
    last = ((cumulative - probs) < sampling.top_p).sum(-1, keepdim=True) - 1
    rank = torch.searchsorted(cumulative, uniform_B[:, None] * cumulative.gather(1, last), right=True)
    return order.gather(1, torch.minimum(rank, last))[:, 0]
