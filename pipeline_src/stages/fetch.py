"""Get one image set, verify the pixels of every image, and list them in a manifest.

The images come from the set's `folder:` in params.yaml, else from the folder that SR_DATA_MIRROR names (as <set>/HR),
else from the authors' archive; samples and samples_heldout are part of scikit-image.
"""

from collections import Counter
from typing import TYPE_CHECKING

from pipeline_src import command, tracking
from pipeline_src import params as settings
from pipeline_src.errors import UserError
from pipeline_src.files import whole_folder

if TYPE_CHECKING:
    from pipeline_src.data.manifests import Entry

MEANING = {
    "catalogue": "the pixels are those of the catalogue",
    "archive": "their archive has the known checksum",
    "first use": "no published hashes to compare with, so the pixels are recorded as first seen",
    "no": "your own, recorded as they are",
}


def fetch(set: str) -> None:
    sets = settings.load().sets
    if set not in sets:
        raise UserError(f"{settings.PARAMS} has no image set {set!r}; it has {', '.join(sets)}")
    from pipeline_src.data.image_sets import obtain
    from pipeline_src.data.manifests import MANIFEST

    spec = sets[set]
    with tracking.stage_run("fetch", set, spec.model_dump()) as run:
        with whole_folder(settings.images_folder(spec.role, set)) as folder:
            entries = obtain(set, spec, folder)
        run.log_metrics({"images": len(entries), "megapixels": _megapixels(entries)})
        run.log_artifact(settings.images_folder(spec.role, set) / MANIFEST)
    for verified, count in Counter(entry.verified for entry in entries).items():
        print(f"{set}: {count} images; {MEANING[verified]}")


def _megapixels(entries: "list[Entry]") -> float:
    return sum(entry.width * entry.height for entry in entries) / 1e6


if __name__ == "__main__":
    command.stage(fetch, "set")
