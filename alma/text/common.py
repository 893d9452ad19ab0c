"""How many grams a text has in common with each of many: exactly, and without a look at each pair of texts.

*Only where it is worth it.* Of a set x of which a share t has to be in common, any ⌈t·|x|⌉ grams are enough: so the
rarest of the common grams is among the |x| - ⌈t·|x|⌉ + 1 rarest of x, in any one order of all grams (prefix filtering,
Bayardo and others 2007, https://doi.org/10.1145/1242572.1242591). Where both sets have to share so much, it is among
the rarest of either. A gram that no known text has is the rarest of all.

*All at once.* Grams that the same known texts have are one class: they are common to a text and to all of those, or to
none. A template that thousands of texts begin with is a class, however long it is, and what only one text has is
another. What is counted are the members of each class that a text has, added up over the classes of each known text:
the same sum as gram by gram. Classes are in order of how many texts have them, and that is the order of the grams, so
that a text's rarest grams are those of its first classes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Common:
    """The grams of many texts, by the place of the text. Axes: P places, C classes of grams.

    ``share`` is the least share of a known text's grams that has to be in common for it to be found at all.
    """

    def __init__(self, texts: Iterable[Collection[str]], share: float) -> None:
        self._ids: dict[str, int] = {}
        ids = [np.fromiter(map(self._id, grams), np.int64, len(grams)) for grams in texts]
        self.nums_P = np.array([len(each) for each in ids], np.int64)
        """Grams of each text."""
        self._class_of, classes_C = _classes(ids, len(self._ids))
        sizes_C = np.bincount(self._class_of, minlength=len(classes_C))
        places = _joined(classes_C)
        classes = np.repeat(np.arange(len(classes_C)), [len(each) for each in classes_C])
        by_place = np.argsort(places, kind="stable")
        places, classes = places[by_place], classes[by_place]
        self._classes = _Lists(places, classes, len(ids))
        before = np.cumsum(sizes_C[classes]) - sizes_C[classes]  # grams that are rarer, of this text and those before
        rarer = before - (np.cumsum(self.nums_P) - self.nums_P)[places]
        among_rarest = rarer <= (self.nums_P - np.ceil(share * self.nums_P))[places]
        order = np.argsort(classes[among_rarest], kind="stable")
        self._places = _Lists(classes[among_rarest][order], places[among_rarest][order], len(classes_C))

    def of(self, grams: Iterable[str], num_needed: int = 1) -> tuple[Ints, Ints]:
        """Places of known texts, and how many of ``grams`` each has.

        All are among them that have a share of their own grams, and ``num_needed`` of these, in common; so are some
        that have fewer.
        """
        ids = {self._ids[gram] for gram in grams if gram in self._ids}
        num_looked_up = len(ids) - max(num_needed, 1) + 1  # of the known ones: the unknown are the rarest
        if num_looked_up <= 0:
            return _NONE, _NONE
        given = self._class_of[np.fromiter(ids, np.int64, len(ids))]
        classes, nums = np.unique(given, return_counts=True)
        rarest = classes[np.cumsum(nums) - nums < num_looked_up]
        found = np.sort(self._places.of(rarest)[0], kind="stable")  # of sorted lists: much faster than np.unique
        found = found[np.diff(found, prepend=-1) > 0]
        if not len(found):
            return _NONE, _NONE
        nums_C = np.zeros(self._places.num, np.int64)
        nums_C[classes] = nums
        theirs, starts = self._classes.of(found)
        return found, np.add.reduceat(nums_C[theirs], starts)

    def _id(self, gram: str) -> int:
        return self._ids.setdefault(gram, len(self._ids))


class _Lists:
    """Lists of numbers, one behind the other; ``owners`` says, in order, of which of ``num`` lists each number is."""

    def __init__(self, owners: Ints, values: Ints, num: int) -> None:
        self.num = num
        self._values = values
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=num))])

    def of(self, lists: Ints) -> tuple[Ints, Ints]:
        """The numbers of several lists, one list behind the other, and where each list starts."""
        first, nums = self._starts[lists], self._starts[lists + 1] - self._starts[lists]
        starts = np.cumsum(nums) - nums
        return self._values[np.repeat(first - starts, nums) + np.arange(nums.sum())], starts


_NONE = np.zeros(0, np.int64)


def _joined(arrays: list[Any]) -> Ints:
    return np.concatenate([_NONE, *arrays])


def _classes(ids: list[Ints], num: int) -> tuple[Ints, list[Any]]:
    """The class of each of ``num`` grams, and the places of the texts that have it, of each class; rarest first."""
    grams = _joined(ids)
    places = np.repeat(np.arange(len(ids), dtype=np.int32), [len(each) for each in ids])
    places = places[np.argsort(grams, kind="stable")]
    ends = np.cumsum(np.bincount(grams, minlength=num)).tolist()
    numbers: dict[bytes, int] = {}
    class_of, start = np.empty(num, np.int64), 0
    for gram, end in enumerate(ends):
        class_of[gram] = numbers.setdefault(places[start:end].tobytes(), len(numbers))
        start = end
    found = [np.frombuffer(each, np.int32) for each in numbers]
    order = np.argsort([len(each) for each in found], kind="stable").astype(np.int64)
    rank = np.empty(len(found), np.int64)
    rank[order] = np.arange(len(found))
    return rank[class_of], [found[each] for each in order]
