"""Attention scores as a picture."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from callbacks.visible import visible


class AttentionFigure:
    """Heatmaps of attention scores: a row for each layer, a column for each head.

    The heads of a single layer are broken into lines of two or three, for TensorBoard shrinks wide
    pictures.

    Rows of a heatmap are queries (who looks), columns are keys (what is looked at). Colours are
    on one fixed scale from 0 (dark) to 1 (bright), so that pictures can be compared. The figure
    is drawn once; `draw` then changes only the colours, which is some ten times as fast.

    Args:
        tokens: the T tokens that look, from top to bottom.
        layers: number of the first layer and of the last, such as (1, 2).
        num_heads: number of heads, N.
        keys: the S tokens that are looked at, from left to right. Default None: the same.

    Attributes:
        figure: the `matplotlib.figure.Figure`; `figure.savefig(path)` writes it to a file.

    Example:

    >>> picture = AttentionFigure(["i", "love"], layers=(1, 1), num_heads=2)
    >>> image = picture.draw(np.full((1, 2, 2, 2), 0.5))
    >>> image.dtype, image.ndim
    (dtype('uint8'), 3)
    """

    def __init__(
        self,
        tokens: Sequence[str],
        layers: tuple[int, int],
        num_heads: int,
        keys: Sequence[str] | None = None,
    ):
        keys = tokens if keys is None else keys
        first, last = layers
        names = [
            f"layer {layer}, head {head}"
            for layer in range(first, last + 1)
            for head in range(1, num_heads + 1)
        ]
        columns = num_heads
        if first == last and num_heads > 3:
            columns = 3 if num_heads % 3 == 0 else 2
        rows = math.ceil(len(names) / columns)
        labels, key_labels = map(_labels, (tokens, keys))
        # Inches. TensorBoard shows thumbnails of some 350 pixels: a larger picture would be shrunk
        # until its labels can't be read.
        # Of one text a square; of two, tokens of one size on both sides.
        token_side = max(1.15 / max(len(tokens), len(keys)), 0.2)
        width, height = token_side * len(keys), token_side * len(tokens)
        room, key_room = (
            0.085 * max(len(label) for label in some) + 0.2 for some in (labels, key_labels)
        )
        self.figure = Figure(
            figsize=(
                columns * (max(width, 1.15) + 0.1) + room + 0.65,
                rows * (height + 0.4) + key_room,
            ),
            dpi=100,
            layout="compressed",
        )
        FigureCanvasAgg(self.figure)
        axes = self.figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        self._panels = []
        for panel, name in zip(axes.flat, names, strict=False):
            image = panel.imshow(np.zeros((len(tokens), len(keys))), vmin=0, vmax=1, cmap="viridis")
            panel.set_title(name, fontsize=10)
            ticks = range(len(keys)), key_labels
            panel.set_xticks(*ticks, rotation=90, fontsize=10, parse_math=False)
            panel.set_yticks(range(len(labels)), labels, fontsize=10, parse_math=False)
            panel.tick_params(length=2)
            self._panels.append((panel, image))
        for panel in axes.flat[len(names) :]:
            panel.axis("off")
        for panel, _ in self._panels[(rows - 1) * columns :]:
            panel.set_xlabel("attends to", fontsize=10)
        for panel in axes[:, 0]:
            panel.set_ylabel("token", fontsize=10)
        self.figure.colorbar(self._panels[0][1], ax=axes, ticks=[0, 0.5, 1], aspect=25)
        self._shape = (last - first + 1, num_heads, len(tokens), len(keys))
        self._background = None

    def draw(self, scores: np.ndarray) -> np.ndarray:
        """Shows these scores and gives the picture.

        Args:
            scores: (layers, N, T, S), between 0 and 1.

        Returns:
            uint8, (height, width, 3).

        Raises:
            ValueError: scores of another shape.
        """
        if scores.shape != self._shape:
            raise ValueError(
                "`scores` must have the shape (layers, heads, tokens, keys) of the figure, "
                f"{self._shape}. Received: shape={scores.shape}."
            )
        canvas = self.figure.canvas
        if self._background is None:
            canvas.draw()
            self.figure.set_layout_engine("none")  # or the next draw would move things a little
            self._background = canvas.copy_from_bbox(self.figure.bbox)
        canvas.restore_region(self._background)
        matrices = scores.reshape(-1, *scores.shape[-2:])
        for (panel, image), matrix in zip(self._panels, matrices, strict=True):
            image.set_data(matrix)
            panel.draw_artist(image)
            for spine in panel.spines.values():
                panel.draw_artist(spine)
        return np.array(canvas.buffer_rgba())[..., :3]


def _labels(tokens):
    labels = [visible(token) for token in tokens]
    return [label if len(label) <= 12 else f"{label[:11]}…" for label in labels]
