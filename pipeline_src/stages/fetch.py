"""Get one image set, verify the pixels of every image, and list them in a manifest.

The images come from the set's `folder:` in params.yaml, else from the folder that SR_DATA_MIRROR names (as <set>/HR),
else from the authors' archive; samples and samples_heldout are part of scikit-image, and synthetic is drawn here.
"""

from collections import Counter

from pipeline_src import command, config, paths, tracking
from pipeline_src.errors import UserError
from pipeline_src.files import whole_folder

VERIFIED = {  # `verified` of the manifest, explained
    "catalogue": "the pixels are those of the catalogue",
    "archive": "their archive has the published checksum",
    "drawn": "drawn here",
    "first use": "no published hashes to compare with, so the pixels are recorded as first seen",
    "no": "your own, recorded as they are",
}


def fetch(set: str) -> None:
    """Write the images and ``manifest.csv`` to ``results/fetch/<role>/<set>``.

    Raises:
        UserError: if the set is not available or not the one it should be.
    """
    sets = config.load().sets
    if set not in sets:
        raise UserError(f"{paths.PARAMS} has no image set {set!r}; it has {', '.join(sets)}")
    from pipeline_src.datasets.image_sets import obtain
    from pipeline_src.datasets.manifests import MANIFEST

    spec = sets[set]
    folder = paths.images_folder(spec.role, set)
    with tracking.stage_run("fetch", set, spec.model_dump()) as run:
        with whole_folder(folder) as aside:
            entries = obtain(set, spec, aside)
        hr = [entry for entry in entries if not entry.is_lr]
        megapixels = sum(entry.width * entry.height for entry in hr) / 1e6
        run.log_metrics({"images": len(hr), "megapixels": megapixels})
        run.log_artifact(folder / MANIFEST)
        run.log_data(set, folder / MANIFEST, spec.role)
    for verified, count in Counter(entry.verified for entry in hr).items():
        print(f"{set}: {count} images; {VERIFIED[verified]}")
    if lr := len(entries) - len(hr):
        kind = "degraded here" if sets[set].degraded else "your own, each of the size that its HR image needs"
        print(f"{set}: {lr} LR images; {kind}")


if __name__ == "__main__":
    command.stage(fetch, "set")
