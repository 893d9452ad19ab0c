"""README.md of an exported model: the model card of the Hugging Face Hub.

Format: https://huggingface.co/docs/hub/model-cards. It holds numbers, names and settings, and no text of a model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from alma import __version__
from alma.export.lineage import Lineage, origin, repository
from alma.export.results import Result

PAPERS = {"alma": "2412.04305", "isara": "2401.06785"}

KINDS = {
    "pair": "prompts with responses by people",
    "score": "responses with scores by people",
    "evaluation_prompt": "evaluation prompts",
    "referenced_prompt": "evaluation prompts with references",
    "safety_prompt": "harmful and harmless prompts",
}

ANSWERING = (
    "```\nvllm serve THIS_FOLDER\n```\n\n"
    "The chat template of its training is in `chat_template.jinja`; it answers well in no other form."
)

SETTINGS = ("objective", "epochs", "learning_rate", "warmup_share", "batch_rows", "max_tokens", "weight_decay", "seed")


def card(lineage: Lineage, found: Sequence[Result], *, name: str, license_id: str | None, base: str | None) -> str:
    """The card. ``base`` is the base model's name on the Hub, where the run did not take it from there."""
    judge = is_judge(lineage)
    parts = [
        _head(lineage, found, name=name, license_id=license_id, base=base),
        f"# {_text(name)}",
        _what(lineage, judge=judge, base=base),
        "## How to use it",
        _judging(lineage) if judge else ANSWERING,
        "## Results",
        _results(found, judge=judge),
        "## What it was made from",
        _table(("", "what", "rows", "where from"), _sources(lineage, base)),
        "## The last training",
        _table(("setting", "value"), _settings(lineage)),
        "All artifacts from the people's rows to this model, with every setting, are in `lineage.json`.",
        "## Licence",
        _licence(license_id),
    ]
    return "\n\n".join(parts) + "\n"


def is_judge(lineage: Lineage) -> bool:
    """Whether it rates answers instead of writing them."""
    return bool(lineage.model.section.get("objective") == "judge")


def _head(lineage: Lineage, found: Sequence[Result], *, name: str, license_id: str | None, base: str | None) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    data = ModelCardData(
        license=license_id,
        base_model=base or repository(lineage.base),
        datasets=sorted({known for each in lineage.rows if (known := repository(each))}) or None,
        pipeline_tag=None if is_judge(lineage) else "text-generation",
        library_name="transformers",
        tags=["alma", "alignment", *(f"arxiv:{PAPERS[each]}" for each in methods(lineage))],
        model_name=name,
        eval_results=[
            EvalResult(
                task_type="text-generation",
                dataset_type="evaluation",
                dataset_name=str(each.by.ref),
                metric_type=each.measure,
                metric_value=each.value,
            )
            for each in found
        ],
    )
    return f"---\n{data.to_yaml()}\n---"


def methods(lineage: Lineage) -> list[str]:
    """The methods whose stages made it."""
    stages = {ref.stage for ref in lineage.ancestors}
    return [name for name, sign in (("alma", "select"), ("isara", "imitate")) if sign in stages]


def _what(lineage: Lineage, *, judge: bool, base: str | None) -> str:
    start = base or repository(lineage.base) or f"a base model ({origin(lineage.base)})"
    made = {"alma": "[ALMA](https://arxiv.org/abs/2412.04305)", "isara": "[ISARA](https://arxiv.org/abs/2401.06785)"}
    by = " and ".join(made[each] for each in methods(lineage)) or "supervised fine-tuning"
    does = "rates responses from 0 to 10" if judge else "answers prompts"
    return (
        f"{_text(start)}, trained by {by}; it {does}. Made with `alma` {__version__}, artifact `{lineage.model.ref}`."
    )


def _judging(lineage: Lineage) -> str:
    template = json.dumps(lineage.model.section.get("template", ""), ensure_ascii=False)
    return (
        "Fill `{prompt}` and `{response}` into the template, a JSON text, and read the probabilities of the ratings 0 "
        "to 10 at the next position; the score is their mean Σ k·p(k) / Σ p(k). Where a tokenizer writes 10 as two "
        "tokens, p(10) = p(1)·p(0 | 1), and p(1) is what is left of p(1). Of a conversation `{prompt}` is all turns up "
        "to the response, each behind `System: `, `User: ` or `Assistant: ` and an empty line between them.\n\n"
        f"```json\n{_fenced(template)}\n```"
    )


def _results(found: Sequence[Result], *, judge: bool) -> str:
    if not found:
        return "The store holds no " + ("validation of this judge." if judge else "evaluation of this model.")
    rows = [
        (
            _text(each.label),
            _number(each),
            f"{each.num_rows:,}",
            f"`{each.by.ref}`",
        )
        for each in found
    ]
    said = "Mean ± standard error over prompts."
    if not judge and any(each.measure == "judge_score" for each in found):
        said += (
            " *Judge's score* is by the judge whose scores chose the training data: it says how far the training went "
            "where it was sent, not how good the model is."
        )
    if any(each.outside for each in found):
        said += (
            " Rewards, grades, win rates and exams are outside evaluators': none of them selected or trained anything."
        )
    if any(each.interval for each in found):
        said += " In brackets: 95% interval."
    return _table(("measure", "value", "rows", "artifact"), rows) + "\n\n" + said


def _number(each: Result) -> str:
    if each.interval:
        return f"{each.value:.3f} ({each.interval[0]:.3f} to {each.interval[1]:.3f})"
    return f"{each.value:.3f}" + ("" if each.error is None else f" ± {each.error:.3f}")


def _sources(lineage: Lineage, base: str | None) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [("base", "model", "", base or origin(lineage.base))]
    for each in lineage.rows:
        kind = KINDS.get(str(each.schema_name), str(each.schema_name))
        found.append((f"`{each.ref}`", kind, f"{each.num_rows or 0:,}", origin(each)))
    return found


def _settings(lineage: Lineage) -> list[tuple[str, ...]]:
    model = lineage.model
    found = [(name, str(model.section[name])) for name in SETTINGS if name in model.section]
    found += [(name, f"{model.metrics[name]:,}") for name in ("num_rows", "num_steps") if name in model.metrics]
    libraries = ", ".join(
        f"{name} {model.libraries[name]}" for name in ("torch", "transformers", "trl") if name in model.libraries
    )
    return [*found, ("libraries", libraries)]


def _licence(license_id: str | None) -> str:
    if license_id:
        return f"{license_id}, as its exporter states. The licences of the base model and of the data hold as well."
    return "Not stated. The licences of the base model and of the data hold."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_text(cell) for cell in line) + " |" for line in lines)


def _text(value: Any) -> str:
    """On one line, and no table's border or HTML."""
    text = "".join(c if c.isprintable() else " " for c in str(value))
    return text.replace("|", "\\|").replace("<", "&lt;")


def _fenced(text: str) -> str:
    """Text that cannot end the fence around it: JSON has another way to write a back tick."""
    return text.replace("`", "\\u0060")
