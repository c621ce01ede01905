"""A film of the attention heatmaps, for TensorBoard's image dashboard."""

import io
from collections.abc import Container, Iterable, Sequence

import numpy as np
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.image.metadata import create_summary_metadata
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.util.tensor_util import make_tensor_proto

from callbacks.attention_figure import AttentionFigure
from callbacks.epoch_summaries import EpochSummaries
from callbacks.event_writer import LogDir


class AttentionHeatmaps(EpochSummaries):
    """Writes what the model attends to in some texts, again and again while it trains.

    For each text and layer one image with all heads, tagged `attention/<text>/layer_<number>`:
    TensorBoard's step slider plays them like a film. Beside them, under
    `attention_entropy/<text>/layer_<number>_head_<number>`, the mean entropy of the head's rows
    in nats: log T for a head that looks at all T tokens alike, 0 for one that looks at one only.
    The step of every summary is the epoch, counted from 0.

    It works with any model that has a method `attention(text)` which returns the T tokens and
    their scores, (layers, heads, T, T), as those of `models` do. Of an encoder-decoder there are
    three kinds, `attention/<text>/encoder/layer_<number>`, `decoder` and `cross`, and a text is a
    source, or a pair of one and its target.

    Args:
        log_dir: folder for the event file, or an `EventWriter` that callbacks share.
        texts: the texts to look at, at least one; in place of a text a tuple of the arguments of
            `attention`, the first of which names it.
        epochs: the epochs to draw, such as `range(0, 100, 5)` or `spread_epochs(1000)`.
            Default None: as many as `time_share` allows. The first and the last are always drawn.
        time_share: with `epochs=None`, the largest share of the training time that drawing may
            take, between 0 and 1. Default 0.05.

    Raises:
        ValueError: no text, or a `time_share` out of its range; in `fit`, a model without
            `attention`.

    Example:

    >>> callback = AttentionHeatmaps("logs/run", ["i love deep"], epochs=range(0, 9, 2))
    >>> history = model.fit(dataset, epochs=9, callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(
        self,
        log_dir: LogDir,
        texts: Sequence[str | tuple[str, ...]],
        epochs: Container[int] | None = None,
        time_share: float = 0.05,
    ):
        super().__init__(log_dir, epochs, time_share)
        if isinstance(texts, str) or not texts:
            raise ValueError(f"`texts` must be a list of texts. Received: texts={texts!r}.")
        self.texts = list(texts)

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "attention"):
            raise ValueError(
                "AttentionHeatmaps needs a model with a method `attention(text)`. "
                f"Received: a {type(self.model).__name__}."
            )
        self._pictures = {}
        super().on_train_begin(logs)

    def summaries(self) -> Iterable[Summary]:
        """Of each text and layer a picture, and of each of its heads the entropy."""
        for text in self.texts:
            arguments = (text,) if isinstance(text, str) else text
            for kind, (tokens, keys, scores) in maps(self.model.attention(*arguments)).items():
                tag = f"{arguments[0]}/{kind}".removesuffix("/")
                for number, layer_scores in enumerate(scores, start=1):  # (N, T, S)
                    picture = self._picture(tag, number, tokens, keys, len(layer_scores))
                    pixels = picture.draw(layer_scores[None])
                    yield _image_pb(f"attention/{tag}/layer_{number}", pixels)
                    for head, entropy in enumerate(_mean_entropy(layer_scores), start=1):
                        name = f"attention_entropy/{tag}/layer_{number}_head_{head}"
                        yield scalar_pb(name, entropy)

    def _picture(self, tag, number, tokens, keys, num_heads):
        # What a model writes changes while it learns, and its tokens with it.
        shown, picture = self._pictures.get((tag, number), (None, None))
        if shown != (tokens, keys):
            picture = AttentionFigure(tokens, (number, number), num_heads, keys)
            self._pictures[tag, number] = (tokens, keys), picture
        return picture


def maps(attention) -> dict[str, tuple[list[str], list[str], np.ndarray]]:
    """What a model's `attention` gives, by kind: who looks, at what, and the scores.

    Where there is one kind only, its name is empty.
    """
    if hasattr(attention, "maps"):
        return attention.maps
    tokens, scores = attention
    return {"": (tokens, tokens, scores)}


def _mean_entropy(scores: np.ndarray) -> np.ndarray:
    """Of each head, the mean over queries of the entropy of its row, in nats: (N,)."""
    entropy = -np.sum(scores * np.log(np.maximum(scores, 1e-12)), axis=-1)  # (N, T)
    return entropy.mean(axis=-1)


def _image_pb(tag: str, pixels: np.ndarray) -> Summary:
    """A picture, uint8 (height, width, 3), for TensorBoard's image dashboard."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", compress_level=1)
    height, width, _ = pixels.shape
    tensor = make_tensor_proto([str(width).encode(), str(height).encode(), file.getvalue()])
    metadata = create_summary_metadata(display_name=None, description=None)
    return Summary(value=[Summary.Value(tag=tag, tensor=tensor, metadata=metadata)])
