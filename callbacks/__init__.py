"""What watches a training: each callback can be used alone in any `model.fit`."""

from callbacks.attention_figure import AttentionFigure
from callbacks.attention_heatmaps import AttentionHeatmaps
from callbacks.averaged_weights import AveragedWeights
from callbacks.best_checkpoint import BestCheckpoint
from callbacks.checkpoint import Checkpoint
from callbacks.continuations import Continuations
from callbacks.early_stopping import EarlyStopping
from callbacks.event_writer import EventWriter
from callbacks.hparams import write_hparams
from callbacks.progress_bar import ProgressBar
from callbacks.sample_fillings import SampleFillings
from callbacks.sample_predictions import SamplePredictions
from callbacks.sample_targets import SampleTargets
from callbacks.scalars import Scalars
from callbacks.schedule import TimeShare, spread_epochs
from callbacks.stop_at_step import StopAtStep
from callbacks.stop_on_divergence import StopOnDivergence
from callbacks.stop_on_interrupt import StopOnInterrupt
from callbacks.target_scores import TargetScores
from callbacks.visible import visible

__all__ = [
    "AttentionFigure",
    "AttentionHeatmaps",
    "AveragedWeights",
    "BestCheckpoint",
    "Checkpoint",
    "Continuations",
    "EarlyStopping",
    "EventWriter",
    "ProgressBar",
    "SampleFillings",
    "SamplePredictions",
    "SampleTargets",
    "Scalars",
    "StopAtStep",
    "StopOnDivergence",
    "StopOnInterrupt",
    "TargetScores",
    "TimeShare",
    "spread_epochs",
    "visible",
    "write_hparams",
]
