"""Write every training image and its MATLAB-identical bicubic LR images into one HDF5 file."""

from pipeline_src import command, config, paths, tracking


def build_h5() -> None:
    """Write ``results/build_h5/train.h5``.

    Raises:
        UserError: if a training image is also an evaluation image, is broken or too small, or if a fetched set is not
            what its manifest says.
    """
    params = config.load()
    from pipeline_src.datasets import hdf5
    from pipeline_src.datasets.fetched import images_of
    from pipeline_src.datasets.manifests import refuse_overlap
    from pipeline_src.datasets.training_pairs import training_pairs

    spec = params.build_h5
    folders = {role: [paths.images_folder(role, name) for name in params.sets_for(role)] for role in config.ROLES}
    refuse_overlap(folders["training"], folders["evaluation"])
    files = [file for folder in folders["training"] for file in images_of(folder, params.threads)]
    factors = {name: params.sets[name].resize_factors or spec.resize_factors for name in params.sets_for("training")}
    with tracking.stage_run("build_h5", None, {"images": len(files), **spec.model_dump()}) as run:
        for name in params.sets_for("training"):
            run.log_data(name, paths.manifest("training", name), "training")
        hdf5.write(paths.TRAIN_H5, training_pairs(files, spec, params.threads, factors))
        run.tag_outputs(paths.TRAIN_H5)


if __name__ == "__main__":
    command.stage(build_h5)
