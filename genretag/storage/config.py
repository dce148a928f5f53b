"""The settings in ``config.toml``: in the platform's folder, or where GENRETAG_CONFIG points."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from genretag.errors import RunError, describe_error


def config_path() -> Path:
    """Return where the settings are kept."""
    if given := os.environ.get("GENRETAG_CONFIG"):
        return Path(given)
    import platformdirs

    return platformdirs.user_config_path("genretag") / "config.toml"


def read() -> dict[str, Any]:
    """Return the settings; empty where there is no file.

    Raises:
        RunError: the file is not TOML, or cannot be read.
    """
    path = config_path()
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RunError(f"{path}: the settings cannot be read: {describe_error(error)}") from error


def write(key: str, value: str | None) -> Path:
    """Set a key, or remove it (None); the rest of the file, with its comments, stays unchanged."""
    import tomlkit

    path = config_path()
    try:
        document = (
            tomlkit.parse(path.read_text(encoding="utf-8")) if path.exists() else tomlkit.document()
        )
        if value is None:
            document.pop(key, None)
        else:
            document[key] = value
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_text(tomlkit.dumps(document), encoding="utf-8")
        part.replace(path)
    except (OSError, UnicodeDecodeError, tomlkit.exceptions.TOMLKitError) as error:
        raise RunError(
            f"{path}: the settings cannot be written: {describe_error(error)}"
        ) from error
    return path


def default_model() -> Path | None:
    """Return the model that ``genretag models use`` chose; None: the bundled one."""
    value = read().get("model")
    if value is None:
        return None
    if not isinstance(value, str):
        raise RunError(f"{config_path()}: model must be a path in quotes")
    path = Path(value).expanduser()
    if not path.exists():
        raise RunError(
            f"{config_path()}: the model {path} is not there;"
            " `genretag models use --bundled` selects the bundled one"
        )
    return path
