"""The published image sets that params.yaml may name, with their sizes, citations and addresses.

To add a set, add an entry to ``SETS``. To have its pixels checked as well, append the rows that
``python -m pipeline_src.datasets.catalogue`` prints to ``catalogue.csv``.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """An archive that holds a set.

    Attributes:
        url: its address.
        members: glob pattern for the names of the HR images in it.
        sha256: its hex checksum, if one is published.
    """

    url: str
    members: str
    sha256: str | None = None


@dataclass(frozen=True)
class KnownSet:
    """A published image set.

    Attributes:
        images: number of images.
        cite: authors, venue and year.
        evaluation_only: whether training on it is refused, because published results are measured on it.
        archives: downloads that contain it, tried in this order.
        in_scikit_image: whether its images are part of the scikit-image package.
        drawn: whether its images are drawn by :mod:`pipeline_src.datasets.synthetic`.
        numbers: its file names, as four-digit numbers; checked if ``catalogue.csv`` has no hashes.
        side: length in pixels that one side of every image has; checked if ``catalogue.csv`` has no hashes.
    """

    images: int
    cite: str
    evaluation_only: bool = False
    archives: tuple[Archive, ...] = ()
    in_scikit_image: bool = False
    drawn: bool = False
    numbers: range | None = None
    side: int | None = None


def _bsds500(part: str) -> tuple[Archive, ...]:
    members = f"*/BSDS500/data/images/{part}/*.jpg"
    return (
        Archive("https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz", members),
        Archive("https://github.com/BIDS/BSDS500/archive/refs/heads/master.tar.gz", members),
    )


def _div2k(part: str, sha256: str) -> tuple[Archive, ...]:
    name = f"DIV2K_{part}_HR"
    return (Archive(f"https://data.vision.ee.ethz.ch/cvl/DIV2K/{name}.zip", f"*{name}/*.png", sha256),)


SRCNN = "http://mmlab.ie.cuhk.edu.hk/projects/SRCNN/SRCNN_train.zip"  # T91, Set5 and Set14, from SRCNN's authors
EDSR = "https://cv.snu.ac.kr/research/EDSR/benchmark.tar"

# All are for research and education only, but for what is drawn, and the photographs of scikit-image, which have free
# licences.
# General100, SunHays80 and DIV2K_valid_crop256 have no permanent address.
SETS = {
    "samples": KnownSet(14, "scikit-image; van der Walt et al., PeerJ 2014", in_scikit_image=True),
    "samples_heldout": KnownSet(
        4, "scikit-image; van der Walt et al., PeerJ 2014", evaluation_only=True, in_scikit_image=True
    ),
    "synthetic": KnownSet(60, "drawn by this package", drawn=True),
    "T91": KnownSet(91, "Yang et al., IEEE TIP 2010", archives=(Archive(SRCNN, "*Train/*.bmp"),)),
    "BSD200": KnownSet(200, "Martin et al., ICCV 2001", archives=_bsds500("train")),
    "BSDS500_test": KnownSet(200, "Arbeláez et al., IEEE TPAMI 2011", archives=_bsds500("test")),
    "General100": KnownSet(100, "Dong et al., ECCV 2016"),
    "SunHays80": KnownSet(80, "Sun and Hays, ICCP 2012"),  # elsewhere evaluated at ×8; here it is trained on
    "DIV2K_train": KnownSet(
        800,
        "Agustsson and Timofte, CVPRW 2017",
        archives=_div2k("train", "9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335"),
        numbers=range(1, 801),
        side=2040,
    ),
    "Set5": KnownSet(
        5,
        "Bevilacqua et al., BMVC 2012",
        evaluation_only=True,
        archives=(Archive(SRCNN, "*Set5/*.bmp"), Archive(EDSR, "*/Set5/HR/*.png")),
    ),
    "Set14": KnownSet(
        14,
        "Zeyde et al., LNCS 2010",
        evaluation_only=True,
        archives=(Archive(SRCNN, "*Set14/*.bmp"), Archive(EDSR, "*/Set14/HR/*.png")),
    ),
    "BSD100": KnownSet(100, "Martin et al., ICCV 2001", evaluation_only=True, archives=_bsds500("val")),
    "Urban100": KnownSet(
        100, "Huang et al., CVPR 2015", evaluation_only=True, archives=(Archive(EDSR, "*/Urban100/HR/*.png"),)
    ),
    "DIV2K_valid": KnownSet(
        100,
        "Agustsson and Timofte, CVPRW 2017",
        evaluation_only=True,
        archives=_div2k("valid", "20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc"),
        numbers=range(801, 901),
        side=2040,
    ),
    "DIV2K_valid_crop256": KnownSet(100, "Agustsson and Timofte, CVPRW 2017", evaluation_only=True),
}
