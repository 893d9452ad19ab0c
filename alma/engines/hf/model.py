"""Loads a Hugging Face causal language model from a folder: what the three ``hf`` engines share.

Axes: P texts, B rows of a batch, T tokens. Only safetensors are read and no code from the folder is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedModel
from transformers.utils import logging

from alma.engines.encoding import encode_known
from alma.engines.finite import check_finite
from alma.engines.hf.described import check_described
from alma.engines.hf.left_over import check_left_over
from alma.engines.hf.memory import InMemory, device_here, dtype_on
from alma.engines.hf.rotary import borders_of, by_row
from alma.engines.tokenizer import load_tokenizer
from alma.engines.ways import Ways, ways_of
from alma.errors import DataError
from alma.sections import Inference


class LanguageModel:
    """A model in memory, and how it may be run (``alma.engines.ways``)."""

    def __init__(self, model: Any, ways: Ways, device: torch.device) -> None:
        self.device = device
        self.ways = ways
        self.model = model.to(device).eval().requires_grad_(False)
        self.borders = borders_of(model)
        arguments = signature(model.forward).parameters
        by_other_name = "cache_params" in arguments and "past_key_values" not in arguments  # Mamba's
        self._cache_name = "cache_params" if by_other_name else "past_key_values"
        text_config = self.model.config.get_text_config()
        # Positions that the model has; models without a table of them (ALiBi) state none.
        self.context: int | None = getattr(text_config, "max_position_embeddings", None)
        self.num_ids: int = self.model.get_input_embeddings().num_embeddings

    @property
    def body(self) -> Any:
        """The model without its output layer."""
        body = self.model.base_model
        if body is not self.model:
            return body
        # Llama 4's text model calls its base by the name that it has in the larger model.
        return next(each for each in self.model.children() if isinstance(each, PreTrainedModel))

    def cache(self) -> DynamicCache:
        """An empty cache of the kind that the model's layers need."""
        return DynamicCache(config=self.model.config)

    def caching(self, cache: DynamicCache) -> dict[str, Any]:
        """The arguments with which the model goes on from ``cache``, and adds to it."""
        return {self._cache_name: cache, "use_cache": True}

    def mask_after(self, mask_BT: torch.Tensor, num: int) -> torch.Tensor:
        """The mask of the last ``num`` tokens of texts whose others are cached, as the model takes it.

        Attention wants that of the whole texts; models that have only states multiply what they read by it.
        """
        return mask_BT[:, -num:] if self._cache_name == "cache_params" else mask_BT

    def forget(self) -> None:
        """Some models keep the state of the last text in themselves; one without a cache clears it."""
        self.model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=self.device), use_cache=False)

    def kind(self, length: int) -> tuple[int, ...]:
        """Texts of different kinds cannot share a cache: the model turns their positions by different angles."""
        return () if self.borders is None else self.borders.kind(length)

    def of_lengths(self, lengths_B: Sequence[int]) -> AbstractContextManager[None]:
        """Within it, the model reads parts of rows whose whole lengths are these."""
        return nullcontext() if self.borders is None else self.borders.stated(lengths_B)

    def padded(self, ids_BT: Sequence[Sequence[int]], side: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and their mask as (B, T) on the device. Padding is id 0 and never seen: a pad token is not needed."""
        ids = pad_sequence([torch.tensor(each) for each in ids_BT], batch_first=True, padding_side=side)
        sizes = torch.tensor([len(each) for each in ids_BT])[:, None]
        place = torch.arange(ids.shape[1])[None]
        mask = place < sizes if side == "right" else place >= ids.shape[1] - sizes
        return ids.to(self.device), mask.long().to(self.device)

    @contextmanager
    def read_at(self, rows: torch.Tensor, places: torch.Tensor) -> Iterator[None]:
        """Within it, logits are computed of ``[rows, places]`` alone.

        Rows end at different places, which ``logits_to_keep`` cannot say. Thinning the head's input, and not calling
        the head on our own, keeps what some architectures do to logits afterwards (scaling, soft caps). Where ``rows``
        is flat, the logits are of one row.
        """

        def thin(_: torch.nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            hidden = args[0][rows, places]
            return (hidden[None] if rows.dim() == 1 else hidden,)

        hook = self.model.get_output_embeddings().register_forward_pre_hook(thin)
        try:
            yield
        finally:
            hook.remove()


class HfModel(InMemory, LanguageModel):
    """A causal language model in memory, and what an engine asks of it.

    Raises ``alma.errors.DataError`` where the folder holds no such model: no safetensors, weights missing, an
    architecture that transformers does not know or that brings its own code, or one that cannot be used rightly.
    """

    def __init__(self, cfg: Inference, model: Path) -> None:
        self.cfg = cfg
        self.path = model
        device = device_here()
        self.tokenizer, loaded = load_model(model, dtype_on(device, cfg))
        super().__init__(loaded, ways_of(model), device)

    def batch_setting(self) -> str:
        """See ``InMemory``."""
        return f"batch_rows = {self.cfg.batch_rows}"

    def encode(self, texts_P: Sequence[str]) -> list[list[int]]:
        """See ``alma.engines.encoding.encode_known``."""
        return encode_known(self.tokenizer, texts_P, self.num_ids, self.path)


def positions_of(mask_BT: torch.Tensor) -> torch.Tensor:
    """Position of every token in its own text, whatever the padding before it: (B, T)."""
    return (mask_BT.cumsum(1) - 1).clamp_min(0)


def load_model(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """The tokenizer and the model of a folder, on the CPU; raises ``DataError`` as ``HfModel`` says."""
    model = load_weights(
        AutoModelForCausalLM,
        folder,
        dtype,
        kind="causal language model",
        remedy="bring the config.json and the safetensors of one model",
    )
    by_row(model)
    return load_tokenizer(folder), model


def load_weights(auto: Any, folder: Path, dtype: torch.dtype, *, kind: str, remedy: str) -> Any:
    """The model of a folder as ``auto`` (a class of transformers) makes it, on the CPU, from safetensors alone.

    Raises ``DataError`` where it is no such model or where weights do not fit it; ``remedy`` says what to do then.
    """
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} holds no config.json; a {kind} is a folder as Hugging Face lays it out")
    check_described(auto, folder)
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model, info = auto.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # named and refused below
            output_loading_info=True,
        )
    except ImportError as error:  # a library that these weights need, most often of a quantization
        raise DataError(
            f"{folder} cannot be loaded as a {kind}, for it needs a package that is not part of alma: {error}; bring "
            "full weights in a layout that transformers reads by itself"
        ) from error
    except Exception as error:  # each architecture checks its config in its own way, or asserts, or divides by it
        if (
            isinstance(error, MemoryError)
            or "annot allocate memory" in str(error)
            or "can't allocate memory" in str(error)
        ):
            raise  # that is no fault of the model
        raise DataError(
            f"{folder} cannot be loaded as a {kind} from safetensors without code of its own: "
            f"{error or type(error).__name__}; {remedy}"
        ) from error
    finally:
        if bars:
            logging.enable_progress_bar()
    # transformers fills what does not fit with random numbers and says so in a log line only.
    unfit = sorted({*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])})
    if unfit:
        raise DataError(
            f"{folder}: {len(unfit)} weights are missing or of another shape than config.json says: "
            f"{', '.join(unfit[:3])}…; {remedy}"
        )
    check_left_over(model, info["unexpected_keys"], folder)
    check_finite(model, folder)
    return model
