"""What the model writes after a few prompts, again and again while it learns."""

from collections.abc import Sequence
from pathlib import Path

import keras
from tensorboard.plugins.text.summary_v2 import text_pb

from callbacks.schedule import TimeShare
from callbacks.summaries import EventWriter


class Continuations(keras.callbacks.Callback):
    """Lets the model continue prompts, for TensorBoard's text dashboard.

    Drag the step slider under the tag `continuations` to watch noise turn into words. The random
    numbers are the same each time, so that what changes is the model. The step is the epoch,
    counted from 0.

    It works with the models of `models`, and with any other that has their method `generate`.

    Args:
        log_dir: folder for the event file. No other writer may use it.
        prompts: the texts to continue, at least one.
        max_new_tokens: how many tokens each gets. A positive integer, default 100.
        temperature: that of `generate`. Default 0.8.
        time_share: the largest share of the training time that this may take, between 0 and 1.
            Default 0.01. The first epoch and the last are always written.

    Raises:
        ValueError: no prompt.

    Example:

    >>> callback = Continuations("logs/run/continuations", ["ROMEO:"])
    >>> history = model.fit(dataset, epochs=9, callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(
        self,
        log_dir: str | Path,
        prompts: Sequence[str],
        max_new_tokens: int = 100,
        temperature: float = 0.8,
        time_share: float = 0.01,
    ):
        super().__init__()
        if isinstance(prompts, str) or not prompts:
            raise ValueError(f"`prompts` must be a list of texts. Received: prompts={prompts!r}.")
        self.prompts = list(prompts)
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self._writer = EventWriter(log_dir)
        self._pace = TimeShare(time_share)
        self._epoch = self._written = None

    def get_state(self) -> dict:
        """What a training that goes on later needs to know."""
        return {"written": self._written, "events": self._writer.position()}

    def set_state(self, state: dict) -> None:
        """Takes back what was written after `get_state`. Call it before `fit`."""
        self._epoch = self._written = state["written"]
        self._writer.rewind(state["events"])

    def on_train_begin(self, logs=None):
        self._writer.open()
        self._pace.begin()

    def on_epoch_end(self, epoch, logs=None):
        self._epoch = epoch
        if self._written is None or self._pace.allows_more():
            self._write()

    def on_train_end(self, logs=None):
        if self._epoch != self._written:
            self._write()
        self._writer.close()
        self._epoch = self._written = None

    def _write(self):
        with self._pace:
            texts = self.model.generate(
                self.prompts,
                self.max_new_tokens,
                temperature=self.temperature,
                jit_compile=False,  # takes seconds, and saves a tenth of one each time
            )
            markdown = "\n\n---\n\n".join(map(_as_code, texts))
            self._writer.write(self._epoch, [text_pb("continuations", markdown)])
        self._written = self._epoch


def _as_code(text):
    """The text as Markdown shows it unchanged: as code, which is what four spaces make."""
    return "\n".join(f"    {line}" for line in text.split("\n"))
