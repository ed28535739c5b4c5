"""Records of the SIP floor as they come back from a file, as far as they are good."""

from functools import cache
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict


def of_kind(records: list[Any], kind: type) -> list[Any]:
    """Return the records from JSON that are of a TypedDict's kind."""
    return [record for record in records if _is_of(record, kind)]


def _is_of(value: object, kind: Any) -> bool:
    """Whether a value from JSON is of a type as they stand in the SIP floor."""
    if is_typeddict(kind):
        return isinstance(value, dict) and all(
            name in value and _is_of(value[name], field)
            for name, field in _fields(kind)
        )
    if get_origin(kind) is list:
        (item_kind,) = get_args(kind)
        return isinstance(value, list) and all(
            _is_of(item, item_kind) for item in value
        )
    # A round number of seconds is written without a point.
    return isinstance(value, kind) or (kind is float and isinstance(value, int))


@cache
def _fields(kind: type) -> tuple[tuple[str, Any], ...]:
    return tuple(get_type_hints(kind).items())
