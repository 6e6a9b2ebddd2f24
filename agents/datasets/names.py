"""The names of a file's fields, compared without regard to case, spaces and punctuation."""

from collections.abc import Iterable, Iterator


def normalise(name: str) -> str:
    """Reduce a field's name to its lower-case letters and digits; dots between nested names stay."""
    return "".join(letter for letter in name.lower() if letter.isalnum() or letter == ".")


class FieldNames:
    """The fields of one file, in their order, found by any spelling."""

    def __init__(self, names: Iterable[str]) -> None:
        """Keep `names`; of two that differ only in spelling the first is found."""
        self._names = tuple(names)
        self._by_normal: dict[str, str] = {}
        for name in self._names:
            self._by_normal.setdefault(normalise(name), name)

    def __iter__(self) -> Iterator[str]:
        """Go through the names as the file spells them."""
        return iter(self._names)

    def __len__(self) -> int:
        """Count the fields."""
        return len(self._names)

    def find(self, *candidates: str) -> tuple[str, ...]:
        """Return, as the file spells them and in the order of `candidates`, those that exist."""
        found = (self._by_normal.get(normalise(candidate)) for candidate in candidates)
        return tuple(dict.fromkeys(name for name in found if name is not None))

    def has_all(self, *candidates: str) -> bool:
        """Tell whether every one of `candidates` exists."""
        return all(normalise(candidate) in self._by_normal for candidate in candidates)
