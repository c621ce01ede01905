"""What the model writes after a few prompts, again and again while it learns."""

from collections.abc import Sequence

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.text.summary_v2 import text_pb

from callbacks.epoch_summaries import EpochSummaries
from callbacks.event_writer import LogDir


class Continuations(EpochSummaries):
    """Lets the model continue prompts, for TensorBoard's text dashboard.

    Drag the step slider under the tag `continuations` to watch noise turn into words. The random
    numbers are the same each time, so that what changes is the model. The step is the epoch,
    counted from 0.

    It works with the models of `models`, and with any other that has their method `generate`.

    Args:
        log_dir: folder for the event file, or an `EventWriter` that callbacks share.
        prompts: the texts to continue, at least one.
        max_new_tokens: how many tokens each gets. A positive integer, default 100.
        temperature: that of `generate`. Default 0.8.
        time_share: the largest share of the training time that this may take, between 0 and 1.
            Default 0.01. The first epoch and the last are always written.

    Raises:
        ValueError: no prompt.

    Example:

    >>> callback = Continuations("logs/run", ["ROMEO:"])
    >>> history = model.fit(dataset, epochs=9, callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(
        self,
        log_dir: LogDir,
        prompts: Sequence[str],
        max_new_tokens: int = 100,
        temperature: float = 0.8,
        time_share: float = 0.01,
    ):
        super().__init__(log_dir, time_share=time_share)
        if isinstance(prompts, str) or not prompts:
            raise ValueError(f"`prompts` must be a list of texts. Received: prompts={prompts!r}.")
        self.prompts = list(prompts)
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature

    def summaries(self) -> list[Summary]:
        """The prompts with what the model puts after them."""
        texts = self.model.generate(
            self.prompts,
            self.max_new_tokens,
            temperature=self.temperature,
            jit_compile=False,  # takes seconds, and saves a tenth of one each time
        )
        return [text_pb("continuations", "\n\n---\n\n".join(map(_as_code, texts)))]


def _as_code(text):
    """The text as Markdown shows it unchanged: as code, which is what four spaces make."""
    return "\n".join(f"    {line}" for line in text.split("\n"))
