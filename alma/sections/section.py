"""What all sections of a run file have in common."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """Base of all sections: frozen, no unknown keys, field docstrings become help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    _origin: Section | None = PrivateAttr(default=None)
    _changes: dict[str, Any] = PrivateAttr(default_factory=dict)

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
        return self.model_dump(mode="json")

    def __eq__(self, other: object) -> bool:
        """Equal settings; where they came from does not count."""
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = BaseModel.__hash__
