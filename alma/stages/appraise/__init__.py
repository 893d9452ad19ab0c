"""What a served model says of every answer of an evaluation: a grade, or a comparison in both orders.

What is asked is paid for, so it is asked once: parts are published as they are whole, and replies that are in none yet
are kept on this machine (``paid``). A stage that cannot succeed any more asks for nothing further.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from alma.artifact import Metrics, Rows
from alma.artifact.out import Out
from alma.engines import lazy
from alma.engines.openai.chat import OpenaiChat, Reply
from alma.errors import ConfigError, StageError
from alma.progress import Progress
from alma.prompts.conversation import user_side
from alma.sections import Chat
from alma.stages.appraise.case import UNASKED, Case
from alma.stages.appraise.paid import Paid
from alma.statistics import mean_and_error
from alma.text.verdict import FAULTS

VERSION = 1

FAULT = "num_fault_"
"""What counts of faults begin with, before the word of ``FAULTS`` or ``UNASKED``."""


def run(cfg: Chat, *, results: Rows, others: Rows | None = None, out: Out) -> Metrics:
    """A grade of 1 to 10, or with ``cfg.pairwise`` a preference against the answers of ``others`` (pairs).

    A verdict that cannot be read counts as a fault; more of them than ``cfg.max_bad_share`` raise ``StageError``, as
    soon as it is certain. An endpoint that refuses every request of the first part raises ``ConfigError``.
    """
    results.expect("result", "examined")
    case = _case_of(cfg, others)
    with lazy(lambda: OpenaiChat(cfg.openai)) as chat, Paid(out.scratch / "paid.jsonl") as paid:
        total: Counter[str] | None = None
        for part, progress in out.each(len(results), cfg.part_rows, "answers"):
            total = Counter(out.counts_so_far()) if total is None else total
            cases = [case(row) for row in results.table(None, part.start, part.stop).to_pylist()]
            replies = iter(_replies(cfg, chat, paid, cases, progress, out))
            read = [each.read([next(replies) for _ in each.asked]) for each in cases]
            rows = [
                {
                    "id": out.row_id(part.start + i),
                    "result_id": each.row["id"],
                    **{name: each.row[name] for name in ("prompt_id", "checkpoint_id", "family", "num_tokens")},
                    "evaluator": cfg.openai.model,
                    "num_chars": len(each.row["response"]),
                    "other_num_chars": None if each.other is None else len(each.other["response"]),
                    **columns,
                }
                for i, (each, columns) in enumerate(zip(cases, read, strict=True))
            ]
            counts = _counts(cfg, cases, read)
            total.update(counts)
            _check_refusals(cfg, total, rows)
            out.publish(part, "assessment", rows, counts)
            _check(cfg, total, len(results))
    _check(cfg, Counter(out.counts()), len(results))
    return _summary(cfg, out)


def _case_of(cfg: Chat, others: Rows | None) -> Callable[[Mapping[str, Any]], Case]:
    if cfg.pairwise != (others is not None):
        raise ConfigError(
            f"pairwise = {str(cfg.pairwise).lower()} and the input others is {'not ' if others is None else ''}given: "
            "give the answers that are to be compared with, and set pairwise, or neither"
        )
    if others is None:
        return Case.graded
    others.expect("pair")
    answers = {user_side(row): row for row in others.table(["earlier", "prompt", "response"]).to_pylist()}
    return lambda row: Case.compared(row, answers.get(user_side(row)))


def _replies(
    cfg: Chat, chat: Callable[[], OpenaiChat], paid: Paid, cases: Sequence[Case], progress: Progress, out: Out
) -> list[Reply]:
    """A reply to every request of ``cases``, in order; only what no attempt has got yet is asked for."""
    bodies = [_body(cfg, messages) for each in cases for messages in each.asked]
    last = {end - 1 for end in accumulate(len(each.asked) for each in cases)}
    found = {place: reply for place, body in enumerate(bodies) if (reply := paid.take(body)) is not None}
    missing = [place for place in range(len(bodies)) if place not in found]

    def keep(place: int, reply: Reply) -> None:
        if not reply.refused:
            paid.keep(bodies[missing[place]], reply)

    def then(place: int, reply: Reply) -> None:
        progress.advance(int(missing[place] in last), reply.num_tokens)
        out.check_stop()

    if missing:
        asked = chat().reply_all([bodies[place] for place in missing], keep, then)
        found |= dict(zip(missing, asked, strict=True))
    return [found[place] for place in range(len(bodies))]


def _body(cfg: Chat, messages: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": list(messages), cfg.limit: cfg.max_new_tokens}
    return body if cfg.temperature == "default" else body | {"temperature": cfg.temperature}


def _counts(cfg: Chat, cases: Sequence[Case], read: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """What is summed over parts: requests, tokens paid, what cannot be read and why."""
    faults = Counter(f"{FAULT}{columns['fault']}" for columns in read if columns["fault"])
    return {
        "num_asked": sum(bool(each.asked) for each in cases),
        "num_requests": sum(len(each.asked) for each in cases),
        "num_paid_tokens": sum(columns["num_paid_tokens"] for columns in read),
        "num_unreadable": sum(columns["fault"] in FAULTS for columns in read),
        **({"num_by_place": sum(columns.get("by_place", False) for columns in read)} if cfg.pairwise else {}),
        **faults,
    }


def _check_refusals(cfg: Chat, total: Mapping[str, int], rows: Sequence[Mapping[str, Any]]) -> None:
    """Raises ``ConfigError`` where nothing but refusals ever came: it is the form of what is asked that is refused."""
    if total["num_asked"] and total.get(f"{FAULT}refused", 0) == total["num_asked"]:
        said = next(row["verdict"] for row in rows if row["fault"] == "refused")
        raise ConfigError(
            f"openai.endpoint = {cfg.openai.endpoint!r} refuses what is asked about all of the first "
            f"{total['num_asked']} answers: {said}\nIf it is the temperature, set temperature = 'default'; if "
            f"max_tokens, set limit = 'max_completion_tokens' (now {cfg.temperature!r}, {cfg.limit!r})"
        )


def _check(cfg: Chat, total: Mapping[str, int], num_rows: int) -> None:
    """Raises ``StageError`` once more verdicts are unreadable than may be, whatever comes."""
    asked = num_rows - sum(total.get(f"{FAULT}{name}", 0) for name in UNASKED)
    if total.get("num_unreadable", 0) <= cfg.max_bad_share * asked:
        return
    reasons = [(total[f"{FAULT}{name}"], meaning) for name, meaning in FAULTS.items() if total.get(f"{FAULT}{name}")]
    told = "; ".join(f"{num} × {meaning}" for num, meaning in sorted(reasons, reverse=True))
    raise StageError(
        f"{total['num_unreadable']} of {asked} answers have no readable verdict by {cfg.openai.model!r}, more than "
        f"max_bad_share = {cfg.max_bad_share:g} allows: {told}. What was asked is published and not paid for again: "
        "raise max_bad_share to count these, or take another model, a longer max_new_tokens, and all is asked anew"
    )


def _summary(cfg: Chat, out: Out) -> Metrics:
    column = "preference" if cfg.pairwise else "score"
    rows = out.read_back([column])
    known = [row[column] for row in rows if row[column] is not None]
    metrics: Metrics = {"num_prompts": len(rows)}
    if known:
        mean, error = mean_and_error(known)
        metrics |= {column: mean, f"{column}_error": error if len(known) > 1 else 0.0}
    return metrics
