"""What the model writes after a few sources, epoch by epoch, for TensorBoard's text dashboard."""

from collections.abc import Sequence

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.text.summary_v2 import text_pb

from callbacks.epoch_summaries import EpochSummaries
from callbacks.event_writer import LogDir
from callbacks.visible import as_cell


class SampleTargets(EpochSummaries):
    """Writes a table of sources, what is right, and what the model writes (greedy).

    The table is Markdown, under the tag `samples`; its step is the epoch, counted from 0. It works
    with an `EncoderDecoderModel`, and with any other model that has its method
    `translate(sources)`.

    Args:
        log_dir: folder for the event file, or an `EventWriter` that callbacks share.
        samples: pairs of a source and what is right after it, in words.
        time_share: the largest share of the training time that this may take, between 0 and 1.
            Default 0.05: where an epoch takes seconds, each one is written. The first and the last
            always are.

    Raises:
        ValueError: no samples.

    Example:

    >>> callback = SampleTargets("logs/run", [("abc", "cba")])
    >>> history = model.fit(dataset, epochs=9, callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(
        self, log_dir: LogDir, samples: Sequence[tuple[str, str]], time_share: float = 0.05
    ):
        super().__init__(log_dir, time_share=time_share)
        if not samples:
            raise ValueError("`samples` must hold at least one source. Received: samples=[].")
        self.samples = list(samples)

    def on_train_begin(self, logs=None):
        self._translate()  # the first time takes seconds, which are not an epoch's
        super().on_train_begin(logs)

    def _translate(self):
        sources = [source for source, _ in self.samples]
        return self.model.translate(sources, jit_compile=False)  # takes seconds, saves none

    def summaries(self) -> list[Summary]:
        """The table."""
        rows = ["| source | right | written |", "|---|---|---|"]
        for sample, written in zip(self.samples, self._translate(), strict=True):
            rows.append(f"| {' | '.join(map(as_cell, (*sample, written)))} |")
        return [text_pb("samples", "\n".join(rows))]
