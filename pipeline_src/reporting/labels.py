"""Placement of the labels of points in a crowded panel."""

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

Box: TypeAlias = npt.NDArray[np.float64]  # left, bottom, right and top, in pixels, on the last axis
Spot: TypeAlias = tuple[float, float, str, str]

# candidates for a label beside its point: offset in points, and which side of the label is there; the first wins a tie
SPOTS: list[Spot] = [
    (-6, 5, "right", "bottom"), (6, 5, "left", "bottom"), (-6, -5, "right", "top"), (6, -5, "left", "top"),
    (0, 8, "center", "bottom"), (0, -8, "center", "top"), (-9, 0, "right", "center"), (9, 0, "left", "center"),
    (-6, 16, "right", "bottom"), (6, 16, "left", "bottom"), (-6, -16, "right", "top"), (6, -16, "left", "top"),
]  # fmt: skip


def place_labels(figure: "Figure", panels: "list[list[Annotation]]") -> None:
    """Move each label to the spot beside its point where it covers the least of the points and other labels.

    Labels are placed in turn, and a label that is placed is not moved again.

    Args:
        figure: the finished figure.
        panels: the labels of each panel.
    """
    # Not adjustText: in a trial on the same figures, version 1.4 put labels partly over markers, because it knows the
    # positions of points but not their sizes, and it was slower. Both give the same picture every time.
    figure.draw_without_rendering()  # gives each panel its final size
    for labels in panels:
        axes = labels[0].axes if labels else None
        if axes is None:
            continue
        dots = [axes.transData.transform(line.get_xydata()) for line in axes.lines if line.get_marker() != "None"]
        panel = np.array(axes.bbox.extents)
        occupied = [np.concatenate([xy[0] - 7, xy[0] + 7]) for xy in dots]
        for label in labels:
            size, point = np.array(label.get_window_extent().size), np.array(axes.transData.transform(label.xy))
            boxes = np.array([_box(point, spot, size, figure.dpi / 72) for spot in SPOTS])
            costs = _overlaps(boxes, np.array(occupied)).sum(axis=1) - _overlaps(boxes, panel[None])[:, 0]
            best = int(np.argmin(costs))
            x, y, horizontal, vertical = SPOTS[best]
            label.set(position=(x, y), horizontalalignment=horizontal, verticalalignment=vertical)
            occupied.append(boxes[best])


def _box(point: Box, spot: Spot, size: Box, pixels_per_point: float) -> Box:
    x, y, horizontal, vertical = spot
    left = {"left": 0.0, "center": 0.5, "right": 1.0}[horizontal]
    bottom = {"bottom": 0.0, "center": 0.5, "top": 1.0}[vertical]
    corner = point + pixels_per_point * np.array([x, y]) - size * [left, bottom]
    return np.concatenate([corner, corner + size])


def _overlaps(boxes: Box, others: Box) -> Box:
    """Return the area that each of N boxes shares with each of M others, N×M in square pixels."""
    one, other = boxes[:, None], others[None]
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    return np.asarray(sides.clip(0).prod(axis=-1))
