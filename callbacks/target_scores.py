"""How often what the model writes is right, again and again while it learns."""

from collections.abc import Sequence

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from callbacks.epoch_summaries import EpochSummaries
from callbacks.event_writer import LogDir


class TargetScores(EpochSummaries):
    """Lets the model write targets (greedy), and writes `exact_match` and `token_error_rate`.

    The loss says how likely the right target is, token by token, where all before it is right.
    These say what comes out where the model goes by its own words. Their step is the epoch,
    counted from 0.

    It works with an `EncoderDecoderModel`, and with any other model that has its method
    `score_targets`.

    Args:
        log_dir: folder for the event file, or an `EventWriter` that callbacks share.
        sources: token ids, at least one source.
        answers: for each source its right targets, token ids.
        time_share: the largest share of the training time that this may take, between 0 and 1.
            Default 0.02. The first epoch and the last are always written.

    Raises:
        ValueError: no sources.

    Example:

    >>> callback = TargetScores("logs/run", sources=[[2, 3]], answers=[[[3, 2]]])
    >>> history = model.fit(dataset, epochs=9, callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(
        self,
        log_dir: LogDir,
        sources: Sequence[Sequence[int]],
        answers: Sequence[Sequence[Sequence[int]]],
        time_share: float = 0.02,
    ):
        super().__init__(log_dir, time_share=time_share)
        if not len(sources):
            raise ValueError("`sources` must hold at least one. Received: sources=[].")
        self.sources = sources
        self.answers = answers

    def on_train_begin(self, logs=None):
        # Compiles, for batches of these sizes: the seconds that it takes are not an epoch's.
        self.model.score_targets(self.sources, self.answers)
        super().on_train_begin(logs)

    def summaries(self) -> list[Summary]:
        """The two figures."""
        scores = self.model.score_targets(self.sources, self.answers)
        return [scalar_pb(f"epoch_{name}", value) for name, value in scores._asdict().items()]
