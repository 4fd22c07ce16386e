"""The trainings that params.yaml asks for. torch is not imported, because short runs stop here."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline_src.config import Params, Recipe


@dataclass(frozen=True)
class Work:
    """A training that params.yaml asks for.

    Attributes:
        system: whose net is trained.
        name: of the training, ``<stage>@<net>``.
        steps: of the optimiser.
        recipe: gives batch and patch.
    """

    system: str
    name: str
    steps: int
    recipe: Recipe


def works(params: Params) -> list[Work]:
    """Return every training of params.yaml: of the systems, of their smaller nets, and QAT of all of them."""
    return [work for name in params.systems for work in _works_of(params, name)]


def _works_of(params: Params, name: str) -> Iterator[Work]:
    system = params.systems[name]
    yield Work(name, f"train@{name}", system.train.steps, system.train)
    for phase in system.train.shrink:
        yield Work(name, f"train@{name}", phase.steps, system.train)
    if name in params.prune:
        for net in params.prune[name].nets:
            yield Work(name, f"prune@{name}/{net}", params.prune[name].finetune.steps, params.prune[name].finetune)
    search = params.search.get(name)
    if search and search.finetune:
        for net in search.nets:
            yield Work(name, f"search@{name}/{net}", search.finetune.steps, search.finetune)
    for net in params.nets_of(name):
        yield Work(name, f"quantize@{net}", system.qat.steps, system.qat)
