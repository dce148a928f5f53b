"""How the actors of a scan share the CPUs and GPUs of a cluster."""

from __future__ import annotations

from dataclasses import dataclass

from genretag.errors import UsageError

# Logical CPUs of an actor. The model needs about a third of the CPU time of decoding, so that one
# scoring actor serves three decoders.
DECODE_CPUS, SCORE_CPUS = 0.75, 0.25
_DECODERS_PER_SCORER = 3

_ROWS_PER_DECODER = 64  # of a file of results
MAX_PART_ROWS = 4_096


@dataclass(frozen=True)
class Actors:
    """The number of actors of each kind, and the GPUs that each scoring actor needs."""

    decoders: int
    scorers: int
    gpus: float = 0.0

    @classmethod
    def of(cls, resources: dict[str, float], jobs: int | None, device: str) -> Actors:
        """Divide a cluster's resources: GPUs score if allowed and present, else some CPUs.

        Raises:
            UsageError: a GPU was requested, and the cluster has none.
        """
        cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
        if device == "cuda" and not gpus:
            raise UsageError(
                "--device cuda: no machine of this cluster offers Ray a GPU (ray start "
                "--num-gpus 1)"
            )
        decoders = max(1, min(jobs or cpus, cpus))
        if gpus and device != "cpu":
            return cls(decoders, gpus, 1.0)
        return cls(decoders, -(-decoders // _DECODERS_PER_SCORER))

    @property
    def part_rows(self) -> int:
        """Rows of a file of results.

        Few where few decoders fill it: a row is reported when its file is complete.
        """
        return min(MAX_PART_ROWS, _ROWS_PER_DECODER * self.decoders)
