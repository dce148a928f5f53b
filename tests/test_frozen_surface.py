"""What users touch stays: commands, options, JSON fields, configuration keys and the Python API.

``tests/frozen/surface.json`` is the surface of the first version. Names may be added, never lost.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import typer

from genretag import api
from genretag.cli import app, settings
from genretag.decisions.policy import Policy
from genretag.decisions.reasons import Action
from genretag.decisions.rows import Row
from genretag.decisions.vote import Status
from genretag.errors import GenretagError

_FROZEN = Path(__file__).parent / "frozen" / "surface.json"


def surface() -> dict[str, list[str]]:
    """Return every name that a user may have written into a script."""
    root = typer.main.get_command(app)
    out: dict[str, list[str]] = {"commands": [], "options": []}
    for path, command in _commands(root, ""):
        out["commands"].append(path)
        for param in command.params:
            names = [*param.opts, *param.secondary_opts]
            kind = getattr(param.type, "choices", None)
            out["options"] += [f"{path} {name}" for name in names if name.startswith("-")]
            out["options"] += [f"{path} {names[0]}={getattr(c, 'value', c)}" for c in kind or ()]
    out["configuration keys"] = sorted(
        {o.name for o in settings.options_of(root)} | set(settings.OTHER_KEYS)
    )
    out["variables"] = sorted({o.variable for o in settings.options_of(root) if o.name != "help"})
    out["plan keys"] = [f.name for f in dataclasses.fields(Row)]
    out["policy keys"] = sorted(Policy().to_dict())
    out["actions"], out["statuses"] = sorted(Action), sorted(Status)
    out["api"] = sorted(api.__all__)
    out["api.Library"] = sorted(n for n in dir(api.Library) if not n.startswith("_"))
    out["errors"] = sorted(c.__name__ for c in GenretagError.__subclasses__())
    return {key: sorted(map(str, values)) for key, values in out.items()}


def _commands(command: Any, path: str) -> list[tuple[str, Any]]:
    inner = getattr(command, "commands", {})
    below = [pair for name, c in inner.items() for pair in _commands(c, f"{path} {name}".strip())]
    return [(path or "genretag", command), *below]


def test_nothing_that_users_touch_is_lost() -> None:
    frozen = json.loads(_FROZEN.read_text())
    now = surface()
    lost = {key: sorted(set(names) - set(now[key])) for key, names in frozen.items()}
    assert not any(lost.values()), {key: names for key, names in lost.items() if names}


if __name__ == "__main__":
    _FROZEN.write_text(json.dumps(surface(), indent=1) + "\n")
