"""Wiring of a model: how features enter a network, and which output holds what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from genretag.errors import ModelError
from genretag.inference.metadata import ACTIVATIONS, ModelMetadata
from genretag.inference.safety import Port

_KEYS = {"input", "layout", "logits", "music", "embedding", "gives"}


@dataclass(frozen=True)
class Wiring:
    """Names of the input and outputs of a network, and the layout of the input.

    ``layout`` lists the axes of the input: N for the batch, B for the bands, T for the time, 1 for
    an axis of size one. A missing output is None.
    """

    input: str
    layout: str
    logits: str
    music: str | None = None
    embedding: str | None = None
    gives: str = "logits"  # scale of the output: logits, softmax or sigmoid
    batch: int = 0  # fixed number of rows; 0: any number


def read_wiring(
    data: dict[str, Any], metadata: ModelMetadata, inputs: list[Port], outputs: list[Port]
) -> Wiring:
    """Read the ``wiring`` of genretag's own metadata; infer what it leaves out.

    Raises:
        ModelError: a key is unknown, or an input, output or axis cannot be determined.
    """
    if unknown := set(data) - _KEYS:
        raise ModelError(
            f"wiring has unknown keys: {', '.join(sorted(unknown))}"
            f" (known: {', '.join(sorted(_KEYS))})"
        )
    names = [p.name for p in outputs]

    def find_output(role: str) -> str | None:
        name = data.get(role, role if role in names else None)
        return find_port(outputs, name, "output").name if name is not None else None

    port = find_port(inputs, data.get("input"), "input")
    bands, frames = metadata.front_end.bands, set(metadata.chunks)
    wiring = Wiring(
        input=port.name,
        layout=str(data.get("layout") or infer_layout(port, bands, frames)),
        # A single output needs no name.
        logits=find_output("logits") or find_port(outputs, None, "output").name,
        music=find_output("music"),
        embedding=find_output("embedding"),
        gives=str(data.get("gives", "logits")),
        batch=fixed_rows(port),
    )
    _check(wiring)
    return wiring


def _check(wiring: Wiring) -> None:
    if wiring.gives not in ("logits", *ACTIVATIONS):
        raise ModelError(
            f"wiring.gives = {wiring.gives!r}; one of logits, {', '.join(ACTIVATIONS)}"
        )
    if sorted(wiring.layout.replace("1", "")) not in (["B", "N", "T"], ["N", "T"]):
        raise ModelError(
            f"wiring.layout = {wiring.layout!r}; expected N, T and B"
            " (and 1 for an axis of size one) in the order of the input's axes"
        )


def find_port(ports: list[Port], name: str | None, kind: str) -> Port:
    """Return the port of a name, or the only one.

    Raises:
        ModelError: there is none, or several and no name.
    """
    if name is None and len(ports) == 1:
        return ports[0]
    found = next((p for p in ports if p.name == name), None)
    if found is None:
        names = ", ".join(p.name for p in ports)
        raise ModelError(
            f"the model has no {kind} {name!r} (it has {names})"
            if name
            else f"the model has several {kind}s ({names}); name one in the wiring"
        )
    return found


def fixed_rows(port: Port) -> int:
    """Return the number of rows that an input requires; 0: any number."""
    return port.shape[0] if port.shape else 0


def infer_layout(port: Port, bands: int, frames: set[int]) -> str:
    """Infer the order of an input's axes from their sizes.

    Raises:
        ModelError: no axis, or more than one, can be the bands or the time.
    """
    rank, sizes = len(port.shape), port.shape[1:]
    if bands == 1 and rank in (2, 3):  # a waveform
        return "NT" if rank == 2 else "N1T" if sizes[0] == 1 else "NT1"
    # Two axes of that size cannot be distinguished.
    of_bands = [i for i, n in enumerate(sizes) if n == bands]
    where = f"its input {port.name} has the shape {list(port.shape)}"
    if rank not in (3, 4) or not of_bands:
        raise ModelError(f"{where}, without an axis of {bands} bands; state wiring.layout")
    others = [(i, n) for i, n in enumerate(sizes) if i not in of_bands]
    # An axis of a known length is the time; else the only one that is not of size one.
    times = [i for i, n in others if n in frames] or [i for i, n in others if n != 1]
    if len(of_bands) > 1 or len(times) != 1:
        raise ModelError(f"{where}, and its time axis is ambiguous; state wiring.layout")
    axes = {of_bands[0]: "B", times[0]: "T"}
    return "N" + "".join(axes.get(i, "1") for i in range(rank - 1))
