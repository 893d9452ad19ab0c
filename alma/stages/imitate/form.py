"""Whether a model writes in the form that it is trained and asked in."""

from __future__ import annotations

from pathlib import Path

from alma.sections import Imitate
from alma.text.turns import answer_prompt

ASKED = "Which way?"


def two_forms(cfg: Imitate, model: Path) -> str | None:
    """How the model's chat template asks otherwise than the turns; ``None`` where it does not, or has none."""
    if cfg.engine == "echo":
        return None
    from alma.engines.dialogue import asking
    from alma.engines.encoding import encode
    from alma.engines.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(model)
    if not tokenizer.chat_template:
        return None
    shown, asked = answer_prompt(cfg.turns, [], ASKED), asking(tokenizer, ASKED)
    one, other = encode(tokenizer, [shown.rstrip(), asked.rstrip()])
    if one == other:
        return None
    return (
        f"shots are written in turns, {str(shown)!r}, and this model is trained and asked in its chat template, "
        f"{str(asked)!r}: what it learns in the one it may not do in the other (isara.form)"
    )
