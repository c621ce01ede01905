"""What watches a training: each callback can be used alone in any `model.fit`."""

from callbacks.attention_figure import AttentionFigure
from callbacks.attention_heatmaps import AttentionHeatmaps
from callbacks.best_checkpoint import BestCheckpoint
from callbacks.epoch_scalars import EpochScalars
from callbacks.hparams import write_hparams
from callbacks.progress_bar import ProgressBar
from callbacks.sample_predictions import SamplePredictions
from callbacks.schedule import spread_epochs
from callbacks.stop_at_step import StopAtStep
from callbacks.stop_on_interrupt import StopOnInterrupt
from callbacks.visible import visible

__all__ = [
    "AttentionFigure",
    "AttentionHeatmaps",
    "BestCheckpoint",
    "EpochScalars",
    "ProgressBar",
    "SamplePredictions",
    "StopAtStep",
    "StopOnInterrupt",
    "spread_epochs",
    "visible",
    "write_hparams",
]
