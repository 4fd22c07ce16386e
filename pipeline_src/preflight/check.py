"""All checks before a run, and what is said of them."""

from pipeline_src.config import Params
from pipeline_src.datasets import own_lr
from pipeline_src.preflight import disk
from pipeline_src.preflight.image_sets import needs_of
from pipeline_src.preflight.starts import check_starts
from pipeline_src.preflight.work import works

WORTH_SAYING = 1e9  # bytes of disk
LONG = 10_000  # steps of all trainings together; fewer take minutes


def check(params: Params) -> list[str]:
    """Check that a run can finish on this machine, and return what it will take, in sentences.

    Nothing is returned for a short run on images that are here already.

    Raises:
        UserError: if weights to start from are not here, an image set cannot be had or lacks LR images of its own at a
            scale, the disk is too full, or a training does not fit into the GPU.
    """
    check_starts(params)
    needs = needs_of(params.sets)
    measured = {scale for system in params.systems.values() for scale in system.scales}
    for of_set in needs:
        wanted = params.build_h5.scales if of_set.role == "training" else measured
        own_lr.refuse_missing_scales(of_set.name, of_set.lr_scales, wanted)
    said: list[str] = []
    downloads = [download for download in disk.downloads_of(needs) if download.size != 0]
    if downloads:
        known = sum(download.size or 0 for download in downloads)
        unknown = sum(download.size is None for download in downloads)
        count = f"{len(downloads)} archives" if len(downloads) > 1 else "1 archive"
        of_unknown = f" and {unknown} of unknown size" if unknown else ""
        said.append(f"to download: {count}, {disk.gigabytes(known)}{of_unknown}; every address answers")
    needed = disk.needed_bytes(params, needs)
    free = disk.refuse_full_disk(needed)
    if downloads or needed > WORTH_SAYING:
        said.append(f"disk: about {disk.gigabytes(needed)} for images and train.h5; {disk.gigabytes(free)} are free")
    return said + _time_and_memory(params)


def _time_and_memory(params: Params) -> list[str]:
    if sum(work.steps for work in works(params)) < LONG:
        return []
    from pipeline_src.preflight import trainings  # imports torch, which takes seconds

    estimate = trainings.estimate(params)
    side_by_side = f"{estimate.at_a_time} at a time" if estimate.at_a_time > 1 else "one at a time"
    said = [
        f"time: about {duration(estimate.seconds)} of training on {estimate.device}, {side_by_side}, if nothing is "
        "trained yet; measured on a step or two of each net"
    ]
    if estimate.memory_bytes:
        said.append(
            f"GPU memory: at most {disk.gigabytes(estimate.peak_bytes)} of {disk.gigabytes(estimate.memory_bytes)}"
        )
    return said


def duration(seconds: float) -> str:
    """Return a time in minutes, hours or days, in words."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
