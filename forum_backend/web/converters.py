"""Ids in addresses: an id that routes nowhere is no address of this site."""

from forum_backend.domain.errors import InvalidId
from forum_backend.domain.ids import parse_id


class RoutedId:
    """A 64-bit id that names its forum."""

    regex = "[0-9]{1,19}"

    def to_python(self, value: str) -> int:
        try:
            return parse_id(value)
        except InvalidId as error:
            raise ValueError from error

    def to_url(self, value: int) -> str:
        return str(value)
