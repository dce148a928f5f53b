"""What travels to the machines of a cluster: the model, and the settings of the operators."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import genretag
from genretag.errors import ModelError, RunError
from genretag.inference.documents import sidecar
from genretag.inference.metadata import ModelMetadata
from genretag.inference.model import Model
from genretag.scan.worker import Part, serve


@dataclass(frozen=True)
class Shipped:
    """A model to send to other machines: its files by name, the model first.

    No files: each machine uses its own bundled model.
    """

    metadata: ModelMetadata
    files: tuple[tuple[str, bytes], ...] = ()

    @classmethod
    def of(cls, model: Model, given: Path | None) -> Shipped:
        """Pack a loaded model; ``given`` None: the bundled one."""
        if given is None:
            return cls(model.metadata)
        paths = [p for p in (given, sidecar(given), *model.stages) if p.is_file()]
        return cls(model.metadata, tuple((p.name, p.read_bytes()) for p in dict.fromkeys(paths)))

    def load(self, device: str = "cpu") -> Model:
        """Load the model on this machine, with one thread.

        Raises:
            ModelError: it cannot be used here, or this machine bundles another one.
        """
        with tempfile.TemporaryDirectory(prefix="genretag-") as folder:
            for name, data in self.files:
                Path(folder, name).write_bytes(data)
            model = Model(Path(folder, self.files[0][0]) if self.files else None, device, threads=1)
        if model.metadata.id != self.metadata.id:
            raise ModelError(
                f"its bundled model is {model.metadata.version}, not {self.metadata.version}; "
                f"install the same genretag everywhere"
            )
        return model


@dataclass(frozen=True)
class Setup:
    """The settings of every operator."""

    shipped: Shipped
    version: str = genretag.__version__
    identify: bool = False  # only identify the audio; decode nothing
    # For copies of remote files while they are analysed; None: the system's temporary folder.
    folder: str | None = None
    decoder: Callable[..., None] = serve  # runs in a decode process
    part: Part = Part.WHOLE  # what to decode of a track
    min_confidence: float | None = None  # decides whether the first pieces suffice

    def check(self) -> None:
        """Raise ``RunError`` if this machine has another version of genretag."""
        if genretag.__version__ != self.version:
            raise RunError(
                f"genretag is {genretag.__version__} on this machine and {self.version} where the "
                f"scan started"
            )
