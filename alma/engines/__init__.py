"""Engines: a folder per library, one door to all of them.

A request is a value; ``engine.answer(requests, on_tokens=…)`` yields each answer as soon as it is whole, and
``ask(engine, request)`` is for a single one. ``load_generator`` and its like load an engine by its name.

==============  ========================  ================================  ================================
protocol        is asked                  answers                           implemented by
==============  ========================  ================================  ================================
Generator       ``GenerateRequest``       sampled continuations             ``vllm``, ``hf``, ``openai``, ``echo``
Streamer        ``GenerateRequest``       one of them, as it grows          ``hf``
Scorer          ``ScoreRequest``          p(0..10) of rating prompts        ``vllm``, ``hf``, ``openai``, ``echo``
Embedder        ``EmbedRequest``          vectors                           ``vllm``, ``hf``, ``sentence``, ``echo``
Classifier      texts                     p(label)                          ``hf``, ``echo``
RewardModel     conversations             scalar rewards                    ``hf``, ``echo``
Examiner        names of tasks            marks                             ``lm_eval``, ``echo``
ReferenceModel  preference pairs          log-probabilities                 ``hf``, ``echo``
Trainer         training rows             a new model                       ``trl``, ``echo``
==============  ========================  ================================  ================================

The libraries, each in its folder::

    hf/             transformers
    vllm/           vLLM: one engine, or several side by side
    openai/         an endpoint that serves a model
    trl/            training with TRL and transformers
    sentence/       sentence-transformers
    lm_eval/        exams by lm-evaluation-harness
    curves/         TensorBoard, Weights & Biases, MLflow: where a training is watched
    echo/           no model: every answer is a function of a hash

What is safe with a model, whatever library runs it::

    probe/          finds it out on a miniature of the model, in seconds
    ways            what it found out, as a value and as the file ``proof.json``

The door::

    requests        what engines are asked and what they answer, as values
    protocols       what an engine is
    loading         which class stands behind an engine's name; lazy loading
    answering       a single request; engines that finish one request before they take the next

What stages use beside it::

    feed            a stage's parts through an engine without a pause, each published when it is whole
    pool            several checkpoints of one model, in turn
    judging         what a judge is asked, and what is read of its answer
    vectors         embeddings, made comparable
    too_long        prompts that leave no room for an answer

What several libraries share::

    chat            prompts and responses as the tokens that training and generation share
    reward_text     whole conversations, as reward models read them
    template        what a chat template writes around a prompt and its answer
    dialogue        what it writes around the turns of a conversation; learnt: the tokens of it that are learnt
    renderer        renders templates in a process of their own; sandbox: that process, with bounds on time and memory
    chance          what makes two renderings of a template differ
    tokenizer       a model's tokenizer, and the tokens that end what it generates
    tokenizer_trial tries a tokenizer that somebody brings, in a process with bounds (tokenizer_sandbox)
    encoding        from texts to tokens
    importing       a word where a library takes long to import
    quotations      special tokens that people and models spell, as the text that they are
    continuation    from tokens back to text, and where it ends
    certain         what of an answer is certain while it is still being generated
    rating          which tokens spell the ratings, and how their probabilities add up
    rationale       a judge that writes reasons before it rates
    prefix          the tokens with which rows begin
    model_folder    what a model's files say before any weights are loaded; finite: whether these are numbers
    tokenization    training rows as tokens
    dpo_reference   preference pairs and their log-probabilities under DPO's reference model
    checkpoints     a training's checkpoints

The libraries are imported when an engine is loaded, never before.
"""

from __future__ import annotations

from alma.engines.answering import OneByOne, ask
from alma.engines.loading import (
    lazy,
    load_classifier,
    load_embedder,
    load_examiner,
    load_generator,
    load_reference,
    load_reward,
    load_scorer,
    load_sentence_embedder,
    load_streamer,
    load_trainer,
)
from alma.engines.protocols import (
    Classifier,
    Embedder,
    Engine,
    Examiner,
    Generator,
    PairLogprobs,
    ReferenceModel,
    RewardModel,
    Scorer,
    Streamer,
    Trainer,
    Training,
)
from alma.engines.requests import (
    TOO_LONG,
    UNREADABLE,
    Answered,
    Completion,
    EmbedRequest,
    Floats,
    GenerateRequest,
    Mark,
    OnTokens,
    Rating,
    Request,
    ScoreRequest,
)

__all__ = [
    "TOO_LONG",
    "UNREADABLE",
    "Answered",
    "Classifier",
    "Completion",
    "EmbedRequest",
    "Embedder",
    "Engine",
    "Examiner",
    "Floats",
    "GenerateRequest",
    "Generator",
    "Mark",
    "OnTokens",
    "OneByOne",
    "PairLogprobs",
    "Rating",
    "ReferenceModel",
    "Request",
    "RewardModel",
    "ScoreRequest",
    "Scorer",
    "Streamer",
    "Trainer",
    "Training",
    "ask",
    "lazy",
    "load_classifier",
    "load_embedder",
    "load_examiner",
    "load_generator",
    "load_reference",
    "load_reward",
    "load_scorer",
    "load_sentence_embedder",
    "load_streamer",
    "load_trainer",
]
