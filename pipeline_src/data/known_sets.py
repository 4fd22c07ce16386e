"""The published image sets: how many images, whom to cite, where their authors offer them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """Where a set can be downloaded, which members are its HR images, and its checksum where that is known."""

    url: str
    members: str
    sha256: str | None = None


@dataclass(frozen=True)
class KnownSet:
    """A published set. ``numbers`` (of its four-digit names) and ``side`` check it where no hashes are known."""

    images: int
    cite: str
    evaluation_only: bool = False
    archives: tuple[Archive, ...] = ()
    numbers: range | None = None
    side: int | None = None  # pixels that one side or both of every image have


def _bsds500(part: str) -> tuple[Archive, ...]:
    members = f"*/BSDS500/data/images/{part}/*.jpg"
    return (
        Archive("https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz", members),
        Archive("https://github.com/BIDS/BSDS500/archive/refs/heads/master.tar.gz", members),
    )


def _div2k(part: str, sha256: str) -> tuple[Archive, ...]:
    name = f"DIV2K_{part}_HR"
    return (Archive(f"https://data.vision.ee.ethz.ch/cvl/DIV2K/{name}.zip", f"*{name}/*.png", sha256),)


SRCNN = "http://mmlab.ie.cuhk.edu.hk/projects/SRCNN/SRCNN_train.zip"  # its authors' T91, Set5 and Set14
EDSR = "https://cv.snu.ac.kr/research/EDSR/benchmark.tar"

# All are for research and education and not for commerce; only the photographs of scikit-image have free licences.
# General100 and DIV2K_valid_crop256 have no permanent address.
SETS = {
    "samples": KnownSet(14, "scikit-image; van der Walt et al., PeerJ 2014"),
    "samples_heldout": KnownSet(4, "scikit-image; van der Walt et al., PeerJ 2014", True),
    "T91": KnownSet(91, "Yang et al., IEEE TIP 2010", False, (Archive(SRCNN, "*Train/*.bmp"),)),
    "BSD200": KnownSet(200, "Martin et al., ICCV 2001", False, _bsds500("train")),
    "BSDS500_test": KnownSet(200, "Arbeláez et al., IEEE TPAMI 2011", False, _bsds500("test")),
    "General100": KnownSet(100, "Dong et al., ECCV 2016"),
    "DIV2K_train": KnownSet(
        800,
        "Agustsson and Timofte, CVPRW 2017",
        False,
        _div2k("train", "9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335"),
        range(1, 801),
        2040,
    ),
    "Set5": KnownSet(
        5, "Bevilacqua et al., BMVC 2012", True, (Archive(SRCNN, "*Set5/*.bmp"), Archive(EDSR, "*/Set5/HR/*.png"))
    ),
    "Set14": KnownSet(
        14, "Zeyde et al., LNCS 2010", True, (Archive(SRCNN, "*Set14/*.bmp"), Archive(EDSR, "*/Set14/HR/*.png"))
    ),
    "BSD100": KnownSet(100, "Martin et al., ICCV 2001", True, _bsds500("val")),
    "Urban100": KnownSet(100, "Huang et al., CVPR 2015", True, (Archive(EDSR, "*/Urban100/HR/*.png"),)),
    "DIV2K_valid": KnownSet(
        100,
        "Agustsson and Timofte, CVPRW 2017",
        True,
        _div2k("valid", "20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc"),
        range(801, 901),
        2040,
    ),
    "DIV2K_valid_crop256": KnownSet(100, "Agustsson and Timofte, CVPRW 2017", True),
}
