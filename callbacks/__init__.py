"""What watches a training: each callback can be used alone in any `model.fit`."""

from callbacks.attention_figure import AttentionFigure
from callbacks.attention_heatmaps import AttentionHeatmaps
from callbacks.best_checkpoint import BestCheckpoint
from callbacks.epoch_scalars import EpochScalars
from callbacks.hparams import write_hparams
from callbacks.progress_bar import ProgressBar
from callbacks.sample_predictions import SamplePredictions
from callbacks.schedule import spread_epochs
from callbacks.stop_on_interrupt import StopOnInterrupt

__all__ = [
    "AttentionFigure",
    "AttentionHeatmaps",
    "BestCheckpoint",
    "EpochScalars",
    "ProgressBar",
    "SamplePredictions",
    "StopOnInterrupt",
    "spread_epochs",
    "write_hparams",
]
