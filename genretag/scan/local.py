"""The local engine: decode workers and the model on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from genretag.features import build_features
from genretag.inference.batching import Batcher
from genretag.inference.metadata import ModelMetadata
from genretag.inference.model import Model
from genretag.library.walk import Found, Unreadable, walk
from genretag.scan.memory import keep_memory
from genretag.scan.options import Options
from genretag.scan.pool import Pool
from genretag.scan.pump import Pump
from genretag.scan.recorder import Recorder
from genretag.scan.source import FileSource
from genretag.scan.worker import serve


class LocalEngine:
    """Decodes in worker processes and runs the model on a thread.

    ``decoder`` runs in the workers: ``worker.serve``, or a function with the same messages.
    """

    repeatable = True

    def __init__(self, model: Model, decoder: Callable[..., None] = serve) -> None:
        self._model, self._decoder = model, decoder

    @property
    def metadata(self) -> ModelMetadata:
        """Metadata of the model."""
        return self._model.metadata

    def walk(self, options: Options) -> Iterator[Found | Unreadable]:
        """Walk the folders."""
        return walk(options.paths, options.exclude)

    def analyse(self, source: FileSource, recorder: Recorder, options: Options) -> None:
        """Analyse the files of the source."""
        keep_memory()  # windows come by the hundred thousand
        batcher = Batcher(self._model)
        features = build_features(self.metadata.front_end)
        try:
            with Pool(options.jobs, self._decoder, (features,)) as pool:
                Pump(pool, batcher, source, recorder, self.metadata, options).run()
        finally:
            batcher.close()
