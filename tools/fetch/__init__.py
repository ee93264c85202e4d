"""Guest software that is not kept in this tree: fetched from Debian into the user's cache."""

from tools.fetch.cache import find

__all__ = ["find"]
