"""``[protect]`` in config.toml: the files whose genre stays as it is."""

from __future__ import annotations

from genretag.decisions.policy import Protect
from genretag.errors import UsageError
from genretag.storage import config
from genretag.text import suggestion_or_all


def read_protection() -> Protect:
    """Read ``[protect]`` in config.toml.

    Raises:
        UsageError: it has other keys than the three lists, or other values than texts.
    """
    table, place = config.read().get("protect", {}), config.config_path()
    known = ("paths", "artists", "genres")
    if not isinstance(table, dict):
        raise UsageError(f"{place}: [protect] is a table of the lists {', '.join(known)}")
    for key, value in table.items():
        if key not in known:
            hint = suggestion_or_all(key, known)
            raise UsageError(f"{place}: [protect] {key} is no setting{hint}")
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise UsageError(f'{place}: [protect] {key} is a list of texts: {key} = ["..."]')
    return Protect(**{key: tuple(texts) for key, texts in table.items()})
