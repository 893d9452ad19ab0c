"""What all sections of a run file have in common: what they refuse, and what of them is written and keyed.

A sealed artifact is found by its key, and its section is part of the key. So a setting that a section gets later must
leave the JSON of everybody who does not use it as it was, or all that is sealed is computed again. A field is marked
beside its type::

    adapter: Annotated[Lora | None, QUIET] = None
    liger: Annotated[bool | None, QUIET, HOW] = None

Settings that are read or not, depending on others, are named by ``Section.reads``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

LARGEST = 2**63 - 1
"""The largest whole number of a setting: what Arrow, PyTorch and JSON's readers take."""

GREATEST = 1e12
"""The greatest other number: what is counted by it, times rows and tokens, is still one that can be added up."""

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
MOST_SAMPLES = 10**5
"""Of one prompt: they are in memory together."""

Samples = Annotated[int, Field(ge=1, le=MOST_SAMPLES)]
Devices = Annotated[int, Field(ge=1, le=1024)]
"""Of one machine, a process each: more than any has."""

Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What NumPy's, scikit-learn's and PyTorch's generators all begin with."""


def _faults(place: str, value: Any) -> Iterator[str]:
    """What no setting may be, nor anything in one."""
    if isinstance(value, int) and abs(value) > LARGEST:
        yield f"{place} is a whole number beyond {LARGEST}, the largest that a setting may be"
    if isinstance(value, float) and GREATEST < abs(value) < math.inf:  # inf has a message of its own
        yield f"{place} is {value:g}, and {GREATEST:g} is the greatest that such a setting may be; give a smaller one"
    if isinstance(value, str) and any("\ud800" <= each <= "\udfff" for each in value):
        yield f"{place} holds half a character (a lone surrogate) in {value[:60]!r}; write it as UTF-8"
    for key, each in value.items() if isinstance(value, dict) else ():
        yield from _faults(place, key)
        yield from _faults(f"{place}.{key}", each)
    for each in value if isinstance(value, list | tuple) else ():
        yield from _faults(place, each)


_KINDS: Final = {bool: "true or false, without quotes", str: "a text", float: "a number, without quotes"}
"""What settings are, in words; a whole number is a number."""


def _kind(value: Any) -> type | None:
    if isinstance(value, bool | str):
        return type(value)
    return float if isinstance(value, int | float) else None


def _other_kind(written: Any, taken: Any) -> type | None:
    """The kind of what pydantic made of a value of another: of "no" false, of true 1, of "3" 3."""
    if isinstance(written, dict) and isinstance(taken, dict):
        pairs = [(each, taken[name]) for name, each in written.items() if name in taken]
    elif isinstance(written, list | tuple) and isinstance(taken, list | tuple):
        pairs = list(zip(written, taken, strict=False))
    else:
        kinds = _kind(written), _kind(taken)
        return kinds[1] if None not in kinds and kinds[0] is not kinds[1] else None
    return next((kind for pair in pairs if (kind := _other_kind(*pair)) is not None), None)


class Mark(Enum):
    """What a field says of itself, beside its type."""

    QUIET = "quiet"
    HOW = "how"


QUIET: Final = Mark.QUIET
"""The setting is left out of the JSON, and so out of the key, where it has its default: artifacts that are older than
the setting keep their keys, and the JSON is not long with what most runs have no use for."""

HOW: Final = Mark.HOW
"""The setting is never part of a key: it says how a result is computed (devices, memory, parts) or when to give up,
and changes the result in nothing but the order in which numbers are added up."""

_KEY: Final = {"key": True}
"""The context in which a section is written as part of a key, and with it those inside."""


class Section(BaseModel):
    """Base of all sections: frozen, no unknown keys, field docstrings become help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    _origin: Section | None = PrivateAttr(default=None)
    _changes: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _bounded(cls, values: Any) -> Any:
        for name, value in values.items() if isinstance(values, dict) else ():
            if fault := next(_faults(str(name), value), None):
                raise ValueError(fault)
        return values

    @model_validator(mode="after")
    def _taken(self) -> Self:
        """What was written as a whole number, and is another one here, is bounded as those are."""
        for name, value in self:
            if fault := next(_faults(name, value), None):
                raise ValueError(fault)
        return self

    @classmethod
    def _received(cls, values: Any) -> Any:
        """What arrives, as it is to be read; a section whose numbers come as texts makes numbers of them."""
        return values

    @model_validator(mode="wrap")
    @classmethod
    def _as_written(cls, values: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        """A setting of another type is refused: in TOML "no" is a text, and true no number."""
        values = cls._received(values)
        section = read(values)
        faults = [
            InitErrorDetails(
                type=PydanticCustomError("another_kind", "Input should be {wanted}", {"wanted": _KINDS[kind]}),
                loc=(name,),
                input=value,
            )
            for name, value in (values.items() if isinstance(values, dict) else ())
            if (kind := _other_kind(value, getattr(section, name))) is not None
        ]
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return section

    def changed(self, **fields: Any) -> Self:
        """A copy with ``fields`` changed, validated again, which remembers what it was made from."""
        copy = type(self).model_validate(self.model_dump() | fields)
        copy._origin = self._origin or self
        copy._changes = self._changes | fields
        return copy

    @property
    def origin(self) -> Section:
        """The section of the run file that this one was made from; itself where nothing was changed."""
        return self._origin or self

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that the recipe set, over those of ``origin``."""
        return dict(self._changes)

    def keyed(self) -> dict[str, Any]:
        """The settings as JSON values that the result follows from: what an artifact's key is made of."""
        return self.model_dump(mode="json", context=_KEY)

    def reads(self) -> dict[str, bool]:
        """Setting → whether it is read, for those whose use depends on other settings.

        A setting that is named here is part of the key exactly where it is read, whatever its value.
        """
        return {}

    @model_serializer(mode="wrap")
    def _write(self, write: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        values: dict[str, Any] = write(self)
        left_out = self._not_keyed() if info.context == _KEY else self._at_default()
        return {name: value for name, value in values.items() if name not in left_out}

    def _not_keyed(self) -> set[str]:
        reads = self.reads()
        unread = {name for name, is_read in reads.items() if not is_read}
        return self._marked(HOW) | unread | (self._at_default() - set(reads))

    def _at_default(self) -> set[str]:
        fields = type(self).model_fields
        return {name for name in self._marked(QUIET) if getattr(self, name) == fields[name].get_default()}

    @classmethod
    def _marked(cls, mark: Literal[Mark.QUIET, Mark.HOW]) -> set[str]:
        return {name for name, field in cls.model_fields.items() if mark in field.metadata}

    def __eq__(self, other: object) -> bool:
        """Equal settings; where they came from does not count."""
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = BaseModel.__hash__
