"""What the model puts into the gaps of a few texts, epoch by epoch, for TensorBoard."""

from collections.abc import Sequence

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.text.summary_v2 import text_pb

from callbacks.epoch_summaries import EpochSummaries
from callbacks.event_writer import LogDir
from callbacks.visible import as_cell, visible


class SampleFillings(EpochSummaries):
    """Writes after every epoch a table of texts with a gap, what was there, and what fits best.

    The table is Markdown, under the tag `samples`; its step is the epoch, counted from 0. It works
    with a `MaskedLanguageModel`, and with any other model that has its method `fill(text, k)`.

    Args:
        log_dir: folder for the event file, or an `EventWriter` that callbacks share.
        samples: pairs of a text with one gap, and the token that was there.
        k: how many tokens to show for each, at least 1. Default 3.

    Raises:
        ValueError: no samples, or k below 1.

    Example:

    >>> callback = SampleFillings("logs/run", [("i [MASK] deep learning", "love")])
    >>> history = model.fit(dataset, epochs=9, callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(self, log_dir: LogDir, samples: Sequence[tuple[str, str]], k: int = 3):
        super().__init__(log_dir)
        if not samples:
            raise ValueError("`samples` must hold at least one text. Received: samples=[].")
        if k < 1:
            raise ValueError(f"`k` must be at least 1. Received: k={k!r}.")
        self.samples = list(samples)
        self.k = k

    def summaries(self) -> list[Summary]:
        """The table."""
        rows = ["| text | hidden | filled in |", "|---|---|---|"]
        for text, hidden in self.samples:
            (likeliest,) = self.model.fill(text, self.k)
            filled = ", ".join(f"{as_cell(visible(token))} {p:.1%}" for token, p in likeliest)
            rows.append(f"| {as_cell(text)} | {as_cell(hidden)} | {filled} |")
        return [text_pb("samples", "\n".join(rows))]
