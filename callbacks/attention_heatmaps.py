"""A film of the attention heatmaps, for TensorBoard's image dashboard."""

from collections.abc import Container, Sequence
from pathlib import Path

import keras
import numpy as np
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from callbacks.attention_figure import AttentionFigure
from callbacks.schedule import TimeShare
from callbacks.summaries import EventWriter, image_pb


class AttentionHeatmaps(keras.callbacks.Callback):
    """Writes what the model attends to in some texts, again and again while it trains.

    For each text and layer one image with all heads, tagged `attention/<text>/layer_<number>`:
    TensorBoard's step slider plays them like a film. Beside them, under
    `attention_entropy/<text>/layer_<number>_head_<number>`, the mean entropy of the head's rows
    in nats: log T for a head that looks at all T tokens alike, 0 for one that looks at one only.
    The step of every summary is the epoch, counted from 0.

    It works with any model that has a method `attention(text)` which returns the T tokens and
    their scores, (layers, heads, T, T), as those of `models` do.

    Args:
        log_dir: folder for the event file. No other writer may use it.
        texts: the texts to look at, at least one.
        epochs: the epochs to draw, such as `range(0, 100, 5)` or `spread_epochs(1000)`.
            Default None: as many as `time_share` allows. The first and the last are always drawn.
        time_share: with `epochs=None`, the largest share of the training time that drawing may
            take, between 0 and 1. Default 0.05.

    Raises:
        ValueError: no text, or a `time_share` out of its range; in `fit`, a model without
            `attention`.

    Example:

    >>> callback = AttentionHeatmaps("logs/run/attention", ["i love deep"], epochs=range(0, 9, 2))
    >>> history = model.fit(dataset, epochs=9, callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(
        self,
        log_dir: str | Path,
        texts: Sequence[str],
        epochs: Container[int] | None = None,
        time_share: float = 0.05,
    ):
        super().__init__()
        if isinstance(texts, str) or not texts:
            raise ValueError(f"`texts` must be a list of texts. Received: texts={texts!r}.")
        self.texts = list(texts)
        self.epochs = epochs
        self._pace = TimeShare(time_share)
        self._writer = EventWriter(log_dir)
        self._epoch = self._drawn = None

    def get_state(self) -> dict:
        """What a training that goes on later needs to know."""
        return {"drawn": self._drawn, "events": self._writer.position()}

    def set_state(self, state: dict) -> None:
        """Takes back what was drawn after `get_state`. Call it before `fit`."""
        self._epoch = self._drawn = state["drawn"]
        self._writer.rewind(state["events"])

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "attention"):
            raise ValueError(
                "AttentionHeatmaps needs a model with a method `attention(text)`. "
                f"Received: a {type(self.model).__name__}."
            )
        self._writer.open()
        self._pictures = {}
        self._pace.begin()

    def on_epoch_end(self, epoch, logs=None):
        self._epoch = epoch
        is_due = self._pace.allows_more() if self.epochs is None else epoch in self.epochs
        if self._drawn is None or is_due:
            self._draw()

    def on_train_end(self, logs=None):
        if self._epoch != self._drawn:
            self._draw()
        self._writer.close()
        self._epoch = self._drawn = None

    def _draw(self):
        with self._pace:
            summaries = [summary for text in self.texts for summary in self._summaries(text)]
            self._writer.write(self._epoch, summaries)
        self._drawn = self._epoch

    def _summaries(self, text):
        tokens, scores = self.model.attention(text)  # (layers, N, T, T)
        for number, layer_scores in enumerate(scores, start=1):
            picture = self._picture(text, number, tokens, len(layer_scores))
            yield image_pb(f"attention/{text}/layer_{number}", picture.draw(layer_scores[None]))
            for head, entropy in enumerate(_mean_entropy(layer_scores), start=1):
                yield scalar_pb(f"attention_entropy/{text}/layer_{number}_head_{head}", entropy)

    def _picture(self, text, number, tokens, num_heads):
        key = (text, number)
        if key not in self._pictures:
            self._pictures[key] = AttentionFigure(tokens, (number, number), num_heads)
        return self._pictures[key]


def _mean_entropy(scores: np.ndarray) -> np.ndarray:
    """Of each head, the mean over queries of the entropy of its row, in nats: (N,)."""
    entropy = -np.sum(scores * np.log(np.maximum(scores, 1e-12)), axis=-1)  # (N, T)
    return entropy.mean(axis=-1)
