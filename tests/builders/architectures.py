"""Tiny random causal language models of many architectures, float32, each built in a second or two.

``tiny(model_type, folder)`` writes one with the tokenizer and the chat template of ``tests.builders.training``. The
values are as small as each architecture allows; a wide initialisation makes its distributions uneven enough to tell
one arithmetic from another. Windows, blocks and borders are shorter than a few dozen tokens, so that short texts cross
them.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.builders.training import write_tokenizer

LENGTH = 256
"""Positions of every model that counts them."""

_COMMON: dict[str, Any] = {
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "initializer_range": 0.25,
    "max_position_embeddings": LENGTH,
    "tie_word_embeddings": False,
}
_HEADS = _COMMON | {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_DENSE = _HEADS | {"num_key_value_heads": 2, "intermediate_size": 96}
_WIDE = _DENSE | {"head_dim": 16}
_LINEAR = {
    "num_hidden_layers": 4,
    "head_dim": 16,
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_LATENT = {
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "num_key_value_heads": 4,
    "first_k_dense_replace": 1,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "n_group": 1,
    "topk_group": 1,
}
_STATE = _COMMON | {"hidden_size": 64, "num_hidden_layers": 2, "state_size": 8}
_GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": LENGTH}
_LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 8,
    "long_factor": [4.0] * 8,
    "original_max_position_embeddings": 32,
}
_DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
_MAMBA2 = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 16}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "afmoe": _WIDE | _EXPERTS | {"num_dense_layers": 1, "sliding_window": 16},
    "apertus": _DENSE,
    "arcee": _DENSE,
    "bamba": _DENSE | _MAMBA2 | {"attn_layer_indices": [1]},
    "biogpt": _HEADS | {"intermediate_size": 96},
    "bitnet": _DENSE,
    "bloom": _COMMON | {"hidden_size": 64, "n_layer": 2, "n_head": 4},
    "codegen": _COMMON | _GPT2 | {"rotary_dim": 8, "n_ctx": LENGTH},
    "cohere": _DENSE,
    "cohere2": _WIDE | {"sliding_window": 16},
    "cohere2_moe": _WIDE | _EXPERTS | {"sliding_window": 16},
    "ctrl": _COMMON | _GPT2 | {"dff": 96},
    "cwm": _WIDE | {"sliding_window": 16},
    "dbrx": _COMMON
    | {
        "d_model": 64,
        "n_heads": 4,
        "n_layers": 2,
        "max_seq_len": LENGTH,
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 96, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek_v2": _DENSE | _LATENT,
    "deepseek_v3": _DENSE | _LATENT,
    "deepseek_v32": _DENSE | _LATENT | {"index_topk": 8, "index_n_heads": 32, "index_head_dim": 16},
    "diffllama": _DENSE,
    "doge": _DENSE,
    "dots1": _WIDE | _LATENT,
    "ernie4_5": _WIDE,
    "ernie4_5_moe": _DENSE | {"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 32},
    "exaone4": _WIDE | {"sliding_window": 16},
    "exaone_moe": _WIDE | _EXPERTS | {"sliding_window": 16},
    "falcon": _HEADS | {"alibi": False, "new_decoder_architecture": False},
    "falcon+alibi": _HEADS | {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True},
    "falcon+new": _HEADS | {"alibi": False, "new_decoder_architecture": True, "num_kv_heads": 2},
    "falcon_h1": _DENSE | _MAMBA2 | {"head_dim": 16, "mamba_d_ssm": 128},
    "falcon_mamba": _STATE,
    "flex_olmo": _DENSE | {"num_experts": 4, "num_experts_per_tok": 2},
    "gemma": _WIDE,
    "gemma2": _WIDE | {"sliding_window": 16, "query_pre_attn_scalar": 16},
    "gemma3_text": _WIDE | {"sliding_window": 16, "query_pre_attn_scalar": 16},
    "gemma4_text": _WIDE | {"sliding_window": 16, "vocab_size_per_layer_input": 64, "hidden_size_per_layer_input": 8},
    "glm": _WIDE,
    "glm4": _WIDE,
    "glm4_moe": _WIDE
    | {"first_k_dense_replace": 1, "n_routed_experts": 4, "num_experts_per_tok": 2}
    | {"moe_intermediate_size": 32},
    "glm4_moe_lite": _DENSE | _LATENT,
    "gpt2": _COMMON | _GPT2,
    "gpt_bigcode": _COMMON | _GPT2,
    "gpt_neo": _COMMON
    | {"hidden_size": 64, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]}
    | {"window_size": 16},
    "gpt_neox": _HEADS | {"intermediate_size": 96},
    "gpt_oss": _WIDE | _LOCAL_EXPERTS | {"sliding_window": 16},
    "gptj": _COMMON | _GPT2 | {"rotary_dim": 8},
    "granite": _DENSE,
    "granite_swa": _DENSE | {"sliding_window": 16},
    "granitemoe": _DENSE | _LOCAL_EXPERTS,
    "granitemoehybrid": _DENSE
    | _LOCAL_EXPERTS
    | _MAMBA2
    | {"layer_types": ["mamba", "attention"], "shared_intermediate_size": 32},
    "granitemoeshared": _DENSE | _LOCAL_EXPERTS | {"shared_intermediate_size": 32},
    "helium": _WIDE,
    "hunyuan_v1_dense": _WIDE,
    "hunyuan_v1_dense+alpha": _WIDE | {"rope_parameters": _DYNAMIC | {"alpha": 1000.0, "factor": 1.0}},
    "hunyuan_v1_moe": _WIDE | {"num_experts": 4, "moe_topk": 2},
    "hy_v3": _WIDE | _EXPERTS,
    "jais2": _DENSE,
    "jamba": _DENSE
    | {"num_experts": 4, "num_experts_per_tok": 2, "num_hidden_layers": 4, "attn_layer_period": 2}
    | {"attn_layer_offset": 1, "mamba_d_state": 8, "mamba_dt_rank": 8, "use_mamba_kernels": False},
    "jetmoe": _DENSE | {"num_local_experts": 4, "num_experts_per_tok": 2, "kv_channels": 16},
    "laguna": _WIDE | _EXPERTS,
    "lfm2": _DENSE
    | {"num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"]}
    | {"block_multiple_of": 8},
    "lfm2_moe": _DENSE | _EXPERTS | {"num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"]},
    "llama": _DENSE,
    "llama+dynamic": _DENSE | {"rope_parameters": _DYNAMIC},
    "llama+yarn": _DENSE
    | {"rope_parameters": _DYNAMIC | {"rope_type": "yarn", "original_max_position_embeddings": 32}},
    "llama4_text": _WIDE | _LOCAL_EXPERTS,
    "mamba": _STATE,
    "mamba2": _STATE | {"num_heads": 8, "head_dim": 16, "n_groups": 1, "chunk_size": 16},
    "mellum": _WIDE | _EXPERTS,
    "minicpm3": _DENSE | _LATENT,
    "minimax": _WIDE | _LOCAL_EXPERTS | {"block_size": 8},
    "minimax_m2": _WIDE | _LOCAL_EXPERTS,
    "ministral": _WIDE | {"sliding_window": 16},
    "ministral3": _WIDE,
    "mistral": _DENSE | {"sliding_window": 16},
    "mixtral": _DENSE | _LOCAL_EXPERTS,
    "mpt": _COMMON | {"d_model": 64, "n_heads": 4, "n_layers": 2, "max_seq_len": LENGTH},
    "nanochat": _DENSE,
    "nemotron": _DENSE,
    "olmo": _DENSE,
    "olmo2": _DENSE,
    "olmo3": _DENSE | {"sliding_window": 16},
    "olmo_hybrid": _DENSE | _LINEAR,
    "olmoe": _DENSE | {"num_experts": 4, "num_experts_per_tok": 2},
    "openai-gpt": _COMMON | _GPT2,
    "opt": _COMMON
    | {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 96}
    | {"word_embed_proj_dim": 64, "init_std": 0.25},
    "opt+projected": _COMMON
    | {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 96}
    | {"word_embed_proj_dim": 32, "do_layer_norm_before": False, "init_std": 0.25},
    "persimmon": _DENSE,
    "phi": _DENSE,
    "phi3": _DENSE | {"num_key_value_heads": 4, "rope_parameters": _LONGROPE, "original_max_position_embeddings": 32},
    "phi3+partial": _DENSE
    | {"partial_rotary_factor": 0.5, "original_max_position_embeddings": 32}
    | {"rope_parameters": _LONGROPE | {"short_factor": [1.0] * 4, "long_factor": [1.0, 2.0, 8.0, 30.0]}},
    "phimoe": _DENSE | _LOCAL_EXPERTS,
    "phimoe+longrope": _DENSE
    | _LOCAL_EXPERTS
    | {"original_max_position_embeddings": 32}
    | {"rope_parameters": _LONGROPE | {"short_mscale": 1.2, "long_mscale": 1.3}},
    "qwen2": _DENSE,
    "qwen2+window": _DENSE | {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
    "qwen2_moe": _DENSE | _EXPERTS | {"shared_expert_intermediate_size": 32},
    "qwen3": _WIDE,
    "qwen3_5_moe_text": _DENSE | _LINEAR | _EXPERTS | {"shared_expert_intermediate_size": 32},
    "qwen3_5_text": _DENSE | _LINEAR,
    "qwen3_moe": _WIDE | _EXPERTS,
    "qwen3_next": _DENSE | _LINEAR | _EXPERTS | {"shared_expert_intermediate_size": 32},
    "recurrent_gemma": _WIDE
    | {"num_hidden_layers": 3, "num_key_value_heads": 1, "lru_width": 64, "attention_window_size": 16},
    "rwkv": _COMMON
    | {"hidden_size": 64, "num_hidden_layers": 2, "context_length": LENGTH, "attention_hidden_size": 64},
    "seed_oss": _WIDE,
    "smollm3": _DENSE,
    "stablelm": _DENSE,
    "starcoder2": _DENSE | {"sliding_window": 16},
    "vaultgemma": _WIDE | {"sliding_window": 16},
    "xglm": _COMMON | {"d_model": 64, "num_layers": 2, "attention_heads": 4, "ffn_dim": 96, "init_std": 0.25},
    "xlstm": _COMMON | {"hidden_size": 64, "num_hidden_layers": 2, "num_heads": 4, "chunk_size": 16},
    "youtu": _DENSE | _LATENT,
    "zamba": _DENSE | {"num_hidden_layers": 3},
    "zamba2": _DENSE | {"num_hidden_layers": 3, "layers_block_type": ["mamba", "hybrid", "mamba"]},
    "zaya": _WIDE | _EXPERTS | {"num_experts_per_tok": 1},
}
"""``model_type`` → values of its config; what is not said is transformers' default. ``+``: another kind."""

REFUSED: dict[str, dict[str, Any]] = {
    "bert": _HEADS | {"intermediate_size": 96},
    "electra": _HEADS | {"intermediate_size": 96, "embedding_size": 64},
    "roberta": _HEADS | {"intermediate_size": 96},
}
"""Those that transformers calls causal language models and that see what comes later: no engine takes them."""

DOZEN = (
    "bloom",
    "falcon",
    "gemma2",
    "gpt2",
    "gpt_oss",
    "jamba",
    "lfm2",
    "llama",
    "mamba",
    "opt",
    "phi3",
    "qwen3_5_text",
    "recurrent_gemma",
)
"""Architectures that take different ways; what the default tier tries."""


def tiny(model_type: str, folder: Path, **changes: Any) -> Path:
    """Writes the random model of an architecture to ``folder``, with ``changes`` to its config, and returns it."""
    vocab_size = write_tokenizer(folder)
    torch.manual_seed(0)
    values = {"vocab_size": vocab_size} | (ARCHITECTURES | REFUSED)[model_type] | changes
    config = AutoConfig.for_model(model_type.partition("+")[0], **values)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".torch.jit.script. is deprecated")  # gpt_bigcode's file, when it is imported
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.eval().save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 2}), encoding="utf-8")
    return folder
