"""Where the names of points stand in a crowded panel."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

SPOTS = [  # where a point's name may stand: offset in points, and which of its sides is there
    (-6, 5, "right", "bottom"), (6, 5, "left", "bottom"), (-6, -5, "right", "top"), (6, -5, "left", "top"),
    (0, 8, "center", "bottom"), (0, -8, "center", "top"), (-9, 0, "right", "center"), (9, 0, "left", "center"),
    (-6, 16, "right", "bottom"), (6, 16, "left", "bottom"), (-6, -16, "right", "top"), (6, -16, "left", "top"),
]  # fmt: skip


def place_names(figure: "Figure", panels: "list[list[Annotation]]") -> None:
    """Move the names of points, those of each panel apart, beside their points, to where they cover least else."""
    figure.draw_without_rendering()  # only now does each panel have its size
    for names in panels:
        axes = names[0].axes if names else None
        if axes is None:
            continue
        dots = [axes.transData.transform(line.get_xydata()) for line in axes.lines if line.get_marker() != "None"]
        panel = np.array(axes.bbox.extents)
        taken = [np.concatenate([xy[0] - 7, xy[0] + 7]) for xy in dots]  # left, bottom, right, top in pixels
        for name in names:
            size, at = np.array(name.get_window_extent().size), np.array(axes.transData.transform(name.xy))
            boxes = [_box(at, spot, size, figure.dpi / 72) for spot in SPOTS]
            cost = [sum(_area(box, other) for other in taken) - _area(box, panel) for box in boxes]
            best = int(np.argmin(cost))
            x, y, across, upright = SPOTS[best]
            name.set(position=(x, y), horizontalalignment=across, verticalalignment=upright)
            taken.append(boxes[best])


def _box(at: np.ndarray, spot: tuple[float, float, str, str], size: np.ndarray, unit: float) -> np.ndarray:
    x, y, across, upright = spot
    left = {"left": 0, "center": 0.5, "right": 1}[across]
    bottom = {"bottom": 0, "center": 0.5, "top": 1}[upright]
    corner = at + unit * np.array([x, y]) - size * [left, bottom]
    return np.concatenate([corner, corner + size])


def _area(one: np.ndarray, other: np.ndarray) -> float:
    """Of the part that two boxes share."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    return float(sides.clip(0).prod())
