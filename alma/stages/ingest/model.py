"""Takes a model in: what is wrong with it is told at once, and what its template needs is written to the copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from alma import sources
from alma.artifact import Metrics
from alma.artifact.out import Out
from alma.engines.importing import imported
from alma.engines.tokenizer_trial import try_tokenizer
from alma.errors import DataError, TransientError
from alma.prompts import TOKEN_TEMPLATES, default_chat_template
from alma.sections import IngestModel
from alma.sources import models
from alma.sources.finite import check_finite
from alma.sources.model_types import check_types
from alma.sources.quantization import marks
from alma.sources.template_date import fix_date
from alma.sources.unchanged import check_unchanged
from alma.sources.untrained import untrained
from alma.sources.weights import num_parameters, read_text
from alma.store.waiting import waiting


def ingest_model(cfg: IngestModel, identity: Mapping[str, str], base: Path, scratch: Path, out: Out) -> Metrics:
    """Publishes the model that ``cfg.source`` names, as ``identity`` has it.

    Raises one ``DataError`` with all that is wrong with it.
    """
    folder = _taken(cfg, sources.fetch_model(cfg, base, scratch / "fetched"), scratch / "taken", out)
    files = models.model_files(folder, cfg.source, cfg.task)
    weights = [file for file in files if file.suffix == ".safetensors"]
    small = [file for file in files if file not in weights]
    if "sha256" in identity:
        hashes = models.file_hashes(small, folder)
        names = [file.relative_to(folder).as_posix() for file in weights]

        def check(published: Mapping[str, str]) -> None:
            of_weights = {name: published[name] for name in names}
            check_unchanged(cfg.source, identity, models.digest_of(hashes | of_weights))

        out.check_hashes = check
    check_types(folder, cfg.source)  # without these files, nothing else can be said
    models.check_sizes(folder, cfg.source)  # and nothing is built by such a config
    faults = _Faults(cfg.source, out.folder, folder)
    faults.of(try_tokenizer, folder)
    faults.tell()  # nothing else is said of a model that must not be used to find it out
    shapes = faults.of(models.check_model, folder, cfg.source, cfg.task)
    if shapes is not None:
        faults.of(check_finite, files, cfg.source)
    models.copy_model(small, folder, out.folder)
    faults.copied = True
    metrics: Metrics = {"bytes": sum(file.stat().st_size for file in files)}
    if cfg.task == "generation":
        from alma.engines.chat import chat_notes, check_chat

        metrics |= _template(cfg, out)
        faults.of(check_chat, out.folder)
        for note in [] if faults.found else [*chat_notes(out.folder), *_untrained(cfg, weights, out)]:
            out.note(f"{cfg.source}: {note}")
        metrics |= {"num_ways_left_off": faults.of(_prove, cfg.source, folder, out) or 0}
    elif cfg.task == "reward":
        metrics |= _own_template(cfg, out)
        faults.of(_check_conversation, out.folder)
    faults.tell()
    models.copy_model(weights, folder, out.folder)
    return {"num_parameters": num_parameters(shapes or {}), **metrics}


def _taken(cfg: IngestModel, folder: Path, target: Path, out: Out) -> Path:
    """``target`` with the model's files: what is checked is what is published, whatever is written to ``folder``."""
    files = models.model_files(folder, cfg.source, cfg.task)
    try:
        with out.progress(sum(file.stat().st_size for file in files), "bytes") as progress:
            models.copy_model(files, folder, target, progress.advance)
    except FileNotFoundError as error:
        raise TransientError(
            f"{cfg.source}: {error.filename} went away while the model was being taken in; wait until nothing writes "
            "to its folder, and run again"
        ) from error
    for name in marks(folder):  # they count by their names, and are not published
        (target / name).touch()
    return target


def _template(cfg: IngestModel, out: Out) -> Metrics:
    """Gives the copy a chat template where it has none, and fixes the day that it writes."""
    from alma.engines.chat import turns_template

    wanted = cfg.chat_template if cfg.turns is None else turns_template(out.folder, cfg.turns)
    template, tokens = default_chat_template(models.special_tokens(out.folder, cfg.source))
    added = models.add_chat_template(out.folder, cfg.source, wanted, template)
    metrics: Metrics = {"chat_template_added": int(added)}
    if cfg.turns is not None:
        out.note(f"{cfg.source}: is trained and asked in the turns of its examples, {wanted!r}")
    elif added and wanted is None:
        written = f"by the special tokens of its vocabulary, {', '.join(tokens)}" if tokens else "in plain text"
        out.note(f"{cfg.source}: has no chat template, and is given one that writes turns {written}")
        metrics |= {"chat_template_by_tokens": int(bool(tokens))}
    return metrics | _fixed_day(cfg, out)


def _own_template(cfg: IngestModel, out: Out) -> Metrics:
    """Keeps a reward model's chat template, or sets the one that is given: it is never asked in another one."""
    added = cfg.chat_template is not None and models.add_chat_template(
        out.folder, cfg.source, cfg.chat_template, cfg.chat_template
    )
    return {"chat_template_added": int(added)} | _fixed_day(cfg, out)


def _fixed_day(cfg: IngestModel, out: Out) -> Metrics:
    if not fix_date(out.folder, cfg.source, cfg.day, models.TEMPLATE):
        return {}
    out.note(f"{cfg.source}: the chat template writes the day; it is {cfg.date} wherever it is rendered")
    return {"chat_template_dated": 1}


def _check_conversation(folder: Path) -> None:
    from alma.engines.reward_text import check_conversation
    from alma.engines.tokenizer import load_tokenizer

    check_conversation(load_tokenizer(folder))


def _untrained(cfg: IngestModel, weights: list[Path], out: Out) -> list[str]:
    """What is said of a template whose tokens the model never read."""
    path = out.folder / models.TEMPLATE
    template = read_text(path, cfg.source) if path.is_file() else ""
    tokens = next((tokens for tokens, ours in TOKEN_TEMPLATES.items() if ours == template), ())
    found = untrained(out.folder, weights, tokens, cfg.source)
    if not found:
        return []
    return [
        f"the model was never trained on {', '.join(found)} (their embeddings lie about zero); train all weights, or "
        "adapters on the embeddings too, or give a chat_template in plain text"
    ]


T = TypeVar("T")


class _Faults:
    """What is wrong with a model: told all at once, so that nobody mends one fault to meet the next."""

    def __init__(self, source: str, folder: Path, taken: Path) -> None:
        self.source, self.folder, self.taken, self.found = source, folder, taken, list[str]()
        self.copied = False
        """Whether ``folder`` has the model's small files."""

    def of(self, check: Callable[..., T], *given: Any) -> T | None:
        """What ``check`` returns; ``None`` where it finds a fault."""
        try:
            return check(*given)
        except DataError as error:
            if self.copied and not (self.folder / "config.json").is_file():  # that is what the check has met
                raise DataError(
                    f"{self.folder}: what was put there is gone: the store was moved or removed meanwhile; leave it in "
                    "its place and run again"
                ) from error
            told = str(error)
            for copy in (self.folder, self.taken):  # a check of a copy knows only where that lies
                told = told.replace(str(copy), "the model")
            self.found += [
                line if line.startswith(self.source) else f"{self.source}: {line}" for line in told.splitlines()
            ]
        return None

    def tell(self) -> None:
        """Raises one ``DataError`` with all faults, a line each."""
        if self.found:
            raise DataError("\n".join(self.found))


def _prove(source: str, folder: Path, out: Out) -> int:
    """Writes what is safe with the model beside it; how many ways of running it are left off.

    An installation without torch can train nothing; what it ingests is proven by the engine that loads it.
    """
    if find_spec("torch") is None:
        out.note(f"{source} is proven by the first engine that loads it: there is no torch here")
        return 0
    from alma.engines.ways import PROOF, proof_of

    imported("alma.engines.hf.described", "transformers").check_language_model(folder)
    with waiting(source, "is being tried on a miniature for"):
        proof = proof_of(out.folder)
    proof.write(out.folder / PROOF)
    for each in proof.left_off:
        said = each.problem or f"log-probabilities differ by {each.differs:g}"
        out.note(f"{source}: {each.check}: {said}; so {each.chosen}")
    return len(proof.left_off)
