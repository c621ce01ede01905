"""What the model answers to a few prompts, epoch by epoch, for TensorBoard's text dashboard."""

from collections.abc import Sequence

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.text.summary_v2 import text_pb

from callbacks.epoch_summaries import EpochSummaries
from callbacks.event_writer import LogDir
from callbacks.visible import as_cell, visible


class SamplePredictions(EpochSummaries):
    """Writes after every epoch a table of prompts and of the tokens that the model puts next.

    The table is Markdown, under the tag `samples`; its step is the epoch, counted from 0. It works
    with the models of `models`, and with any other that has their methods
    `next_token_probabilities(texts)` and `top_tokens(probabilities, k)`.

    Args:
        log_dir: folder for the event file, or an `EventWriter` that callbacks share.
        samples: pairs of a prompt and the word expected after it, None where that is not known.
        k: how many predictions to show for each prompt, at least 1. Default 3.

    Raises:
        ValueError: no samples, or k below 1.

    Example:

    >>> callback = SamplePredictions("logs/run", [("i love deep", "learning")])
    >>> history = model.fit(dataset, epochs=9, callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(self, log_dir: LogDir, samples: Sequence[tuple[str, str | None]], k: int = 3):
        super().__init__(log_dir)
        if not samples:
            raise ValueError("`samples` must hold at least one prompt. Received: samples=[].")
        if k < 1:
            raise ValueError(f"`k` must be at least 1. Received: k={k!r}.")
        self.samples = list(samples)
        self.k = k

    def summaries(self) -> list[Summary]:
        """The table."""
        return [text_pb("samples", self._table())]

    def _table(self):
        rows = ["| prompt | expected | predicted |", "|---|---|---|"]
        prompts = [prompt for prompt, _ in self.samples]
        probabilities = self.model.next_token_probabilities(prompts)
        for (prompt, expected), row in zip(self.samples, probabilities, strict=True):
            predicted = ", ".join(
                f"{as_cell(visible(token))} {probability:.1%}"
                for token, probability in self.model.top_tokens(row, self.k)
            )
            rows.append(f"| {as_cell(prompt)} | {as_cell(expected or '')} | {predicted} |")
        return "\n".join(rows)
