"""The base language model of the micro world: tokenizer, shape, and its pretraining."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import torch
import transformers
import webtext
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROWS, ROW_TOKENS = 32, 128
LEARNING_RATE = 3e-3
DECAY = 7 / 22
"""Share of the steps, at the end, in which the learning rate falls to 0 and the web is late."""
QUESTION_WEIGHT = 0.1
"""Weight of a question's own characters in the loss of dialogues and reviews: their letters are
random, nothing can be learnt from them, and at full weight their noise slows everything else."""
UNKNOWN = "<unk>"
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789 \n.,:;?!-+='"


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per character, so that every digit is its own, and one per marker."""
    vocabulary = {each: i for i, each in enumerate((*webtext.MARKERS, UNKNOWN, *CHARACTERS))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    raw.decoder = decoders.Fuse()
    raw.add_special_tokens([AddedToken(each, normalized=False) for each in webtext.MARKERS])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token=webtext.BOS,
        eos_token=webtext.EOS,
        pad_token=webtext.PAD,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
        model_max_length=256,
        padding_side="left",
    )


def shape(vocabulary: int) -> LlamaConfig:
    """About 0.86M parameters; ordinary Llama, so every engine loads it."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        pad_token_id=webtext.MARKERS.index(webtext.PAD),
        bos_token_id=webtext.MARKERS.index(webtext.BOS),
        eos_token_id=webtext.MARKERS.index(webtext.EOS),
    )


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
"""Token ids, document numbers (0 is padding), positions, weights as targets; each rows x tokens."""


def rows(
    rng: Random, tokens: PreTrainedTokenizerFast, web: webtext.Web, banned: frozenset[str], late_from: int
) -> Iterator[Batch]:
    """Batches of packed documents, which stay whole and see only themselves, from position 0.

    From the batch `late_from` on they are pages of the late web.
    """
    count, length = ROWS, ROW_TOKENS
    asks = [webtext.MARKERS.index(each) for each in (webtext.USER, webtext.REVIEW)]
    answers = webtext.MARKERS.index(webtext.ASSISTANT)
    waiting: list[list[int]] = []
    for batch in itertools.count():
        late = batch >= late_from
        ids, documents, positions = (torch.zeros(count, length, dtype=torch.long) for _ in "123")
        weights = torch.zeros(count, length)
        for row in range(count):
            at = number = 0
            while True:
                if len(waiting) < 64:
                    texts = [web.document(rng, banned, late=late) for _ in range(512)]
                    encoded = tokens(texts, add_special_tokens=False)["input_ids"]
                    waiting = [each for each in encoded if len(each) <= length] + waiting
                fits = (i for i in range(-1, -65, -1) if at + len(waiting[i]) <= length)
                index = next(fits, None)
                if index is None:
                    break
                document = waiting.pop(index)
                end, number, asking = at + len(document), number + 1, False
                for i, token in enumerate(document):
                    weights[row, at + i] = QUESTION_WEIGHT if asking else float(i > 0)
                    asking = token in asks or (asking and token != answers)
                ids[row, at:end] = torch.tensor(document)
                documents[row, at:end] = number
                positions[row, at:end] = torch.arange(len(document))
                at = end
        yield ids, documents, positions, weights


def loss_of(
    model: LlamaForCausalLM,
    ids: torch.Tensor,
    documents: torch.Tensor,
    positions: torch.Tensor,
    weights: torch.Tensor,
) -> torch.Tensor:
    """Weighted mean next-token loss inside documents."""
    causal = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
    mask = (documents[:, None, :, None] == documents[:, None, None, :]) & causal
    hidden = model.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[:, :-1]).float().flatten(0, 1)
    losses = torch.nn.functional.cross_entropy(logits, ids[:, 1:].flatten(), reduction="none")
    return (losses * weights[:, 1:].flatten()).sum() / weights[:, 1:].sum()


def rate_at(step: int, steps: int) -> float:
    """Factor of the learning rate: 100 steps of warm-up, constant, then linearly down to 0."""
    return min((step + 1) / 100, 1.0, (steps - step) / (DECAY * steps))


def optimizer_of(model: LlamaForCausalLM) -> torch.optim.Optimizer:
    """AdamW; norms are not decayed."""
    matrices = [each for each in model.parameters() if each.ndim == 2]
    vectors = [each for each in model.parameters() if each.ndim < 2]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=LEARNING_RATE,
        betas=(0.9, 0.95),
        fused=True,
    )


def pretrain(
    tokens: PreTrainedTokenizerFast,
    web: webtext.Web,
    banned: frozenset[str],
    *,
    seed: int,
    steps: int,
    report: Callable[[int, float, float], None],
    start: Path | None = None,
) -> LlamaForCausalLM:
    """Trains from scratch, or from the model in `start`; `report(step, loss, tokens_per_second)` after every step."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(shape(len(tokens)))
    if start is not None:
        model.load_state_dict(LlamaForCausalLM.from_pretrained(start, dtype=torch.float32).state_dict())
    optimizer = optimizer_of(model)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, steps))
    compiled = torch.compile(loss_of)
    batches = rows(Random(seed), tokens, web, banned, late_from=round((1 - DECAY) * steps))
    started = time.monotonic()
    for step in range(steps):
        with torch.autocast("cpu", torch.bfloat16):
            loss = compiled(model, *next(batches))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        report(step + 1, loss.item(), (step + 1) * ROWS * ROW_TOKENS / (time.monotonic() - started))
    return model


def save(model: LlamaForCausalLM, tokens: PreTrainedTokenizerFast, folder: Path) -> None:
    """An ordinary Hugging Face directory, weights in bfloat16 (1.7 MB)."""
    ends = {"bos_token_id": model.config.bos_token_id, "eos_token_id": model.config.eos_token_id}
    model.generation_config = GenerationConfig(
        **ends, pad_token_id=model.config.pad_token_id, do_sample=True, max_new_tokens=24
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    tokens.save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # the name that older releases know too
    text = json.dumps(settings, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    for each in folder.iterdir():
        each.chmod(0o644)


def facts(model: LlamaForCausalLM, steps: int) -> dict[str, object]:
    """What the manifest says of the base."""
    return {
        "parameters": model.num_parameters(),
        "steps": steps,
        "tokens": steps * ROWS * ROW_TOKENS,
        "learning_rate": LEARNING_RATE,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
    }
