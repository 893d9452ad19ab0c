"""The pool in the order in which rounds draw from it: one unused prompt from each of K clusters (paper section 3.1).

A round is a contiguous slice of this artifact, so it fetches only the parts that it draws from, and raising the number
of rounds changes nothing that was drawn before. What is kept for the judge is an artifact of its own, a random draw,
which is left out of the rounds': the judge is the same however they draw.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from alma.artifact import Metrics, Rows
from alma.artifact.out import Out
from alma.artifact.records import DRAW
from alma.errors import ConfigError, DataError, StageError
from alma.sections import Diversify
from alma.seeds import sample_seed
from alma.stages.diversify.clusters import Ints, Vectors, cluster, fitting

VERSION = 3


def run(
    cfg: Diversify, *, prompts: Rows, embeddings: Rows | None = None, reserved: Rows | None = None, out: Out
) -> Metrics:
    """Every prompt of the pool that is not ``reserved``, once, in draw order; with ``cfg.limit`` the first of them.

    Raises ``ConfigError`` where ``cfg.method`` needs ``embeddings`` and there are none.
    """
    rows = prompts.table(["id", "prompt"])
    _check_size(cfg, rows.num_rows, reserved)
    places_P = _left(rows, reserved)
    rows = rows.take(pa.array(places_P))
    count = rows.num_rows
    rng = np.random.default_rng(cfg.seed)
    map_P2: Vectors | None = None
    if cfg.method == "random":
        clusters_P = np.zeros(count, dtype=np.int64)
        order, num_repeats = random_order(rows["prompt"].to_pylist(), cfg.seed), 0
    else:
        if embeddings is None:
            raise ConfigError("diversify.method = 'kmeans' needs the input embeddings")
        _check_of(embeddings, prompts)
        vectors_PD = fitting(_vectors(embeddings)[places_P], cfg.num_clusters)
        with out.progress(3, "steps") as progress:
            clusters_P = cluster(vectors_PD, cfg.num_clusters, cfg.seed)
            progress.advance()
            map_P2 = _principal_plane(vectors_PD)
            progress.advance()
            order, num_repeats = draw_order(clusters_P, cfg.per_round, rng)
            progress.advance()
    order = order[: cfg.limit]
    columns = {
        "id": [out.row_id(i) for i in range(len(order))],
        "prompt_id": rows["id"].take(pa.array(order)),
        "prompt": rows["prompt"].take(pa.array(order)),
        "cluster": pa.array(clusters_P[order].astype(np.int32)),
        "x": pa.nulls(len(order), pa.float32()) if map_P2 is None else pa.array(map_P2[order, 0].astype(np.float32)),
        "y": pa.nulls(len(order), pa.float32()) if map_P2 is None else pa.array(map_P2[order, 1].astype(np.float32)),
    }
    out.write(pa.table(columns, schema=DRAW), "draw", cfg.part_rows)
    return {
        "num_prompts": len(order),
        "num_clusters": len(np.unique(clusters_P)),
        "largest_cluster": int(np.bincount(clusters_P).max()),
        "num_repeated_clusters": num_repeats,
    }


def _check_size(cfg: Diversify, count: int, reserved: Rows | None) -> None:
    reserve = cfg.limit or (len(reserved) if reserved else 0)
    if count < reserve + cfg.per_round:
        raise StageError(
            f"the pool has {count} prompts after curation; {reserve} for the judge and {cfg.per_round} for a round "
            "are needed. Raise synthesize.num_attempts, or lower respond.num_prompts or distill.num_prompts"
        )


def _check_of(embeddings: Rows, prompts: Rows) -> None:
    """Raises ``DataError`` unless these are vectors of these prompts, in their order."""
    theirs, ours = (rows.table([name])[name] for rows, name in ((embeddings, "prompt_id"), (prompts, "id")))
    if not theirs.equals(ours):
        raise DataError(f"{embeddings.ref} holds vectors of other prompts than {prompts.ref}: give those of these")


def _left(rows: pa.Table, reserved: Rows | None) -> Ints:
    """Places of the prompts that are not reserved."""
    taken = set(reserved.table(["prompt_id"])["prompt_id"].to_pylist()) if reserved else set()
    return np.array([place for place, name in enumerate(rows["id"].to_pylist()) if name not in taken], dtype=np.int64)


def random_order(prompts_P: Sequence[str], seed: int) -> Ints:
    """Places by a hash of each prompt's text: what is drawn hardly changes where the pool hardly does."""
    order: Ints = np.argsort(np.array([sample_seed(seed, text) for text in prompts_P], dtype=np.uint64), kind="stable")
    return order


def draw_order(clusters_P: Ints, per_round: int, rng: np.random.Generator) -> tuple[Ints, int]:
    """A permutation of the prompts whose slices of ``per_round`` hold each cluster once.

    Clusters take turns in random order, without replacement until all had theirs. Where fewer clusters with unused
    prompts are left than a slice needs, a cluster serves twice in it; the number of such repeats is returned beside
    the order.
    """
    members: dict[int, list[int]] = {}
    for place in rng.permutation(len(clusters_P)):
        members.setdefault(int(clusters_P[place]), []).append(int(place))
    turns: deque[int] = deque()
    order: list[int] = []
    repeats = 0
    while len(order) < len(clusters_P):
        size = min(per_round, len(clusters_P) - len(order))
        drawn: set[int] = set()
        num_fresh = len(members)
        for _ in range(size):
            turn = _next_turn(turns, members, drawn, rng) if num_fresh else _any_turn(turns, members, rng)
            is_repeat = turn in drawn
            repeats += is_repeat
            num_fresh -= not is_repeat
            drawn.add(turn)
            order.append(members[turn].pop())
            if not members[turn]:
                del members[turn]
    return np.array(order, dtype=np.int64), repeats


def _next_turn(turns: deque[int], members: dict[int, list[int]], drawn: set[int], rng: np.random.Generator) -> int:
    """The next cluster that has prompts left and is not yet drawn in this slice; there is one."""
    waiting = 0
    while waiting < len(turns):
        turn = turns.popleft()
        if turn not in members:
            continue
        if turn not in drawn:
            return turn
        turns.append(turn)  # keeps its turn for the next slice
        waiting += 1
    waiting_turns = set(turns)
    fresh = [c for c in members if c not in drawn and c not in waiting_turns]
    rng.shuffle(fresh)
    turns.extend(fresh[1:])
    return fresh[0]


def _any_turn(turns: deque[int], members: dict[int, list[int]], rng: np.random.Generator) -> int:
    """The next cluster that has prompts left, where all of them are drawn in this slice."""
    while turns and turns[0] not in members:
        turns.popleft()
    if turns:
        return turns.popleft()
    anew = list(members)
    rng.shuffle(anew)
    turns.extend(anew[1:])
    return anew[0]


def _vectors(embeddings: Rows) -> Vectors:
    column = embeddings.table(["vector"])["vector"].combine_chunks()
    return np.asarray(column.flatten()).reshape(len(column), -1)


def _principal_plane(vectors_PD: Vectors) -> Vectors:
    """The first two principal components, (P, 2), for the prompt map."""
    from sklearn.decomposition import PCA

    width = min(2, *vectors_PD.shape)
    plane = PCA(width, random_state=0).fit_transform(vectors_PD)
    return np.pad(plane, ((0, 0), (0, 2 - width)))
