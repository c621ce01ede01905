"""One training run, from settings to files: the steps of `train.py`, for use from Python too."""

import dataclasses
import importlib.metadata
import math
import platform
import signal
import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

import callbacks
import models
from data.corpora import Corpus
from data.masked import MaskedTexts
from data.pairs import Pairs
from experiments import processes, runs
from experiments.cli import UsageError
from experiments.console import console
from experiments.preparation import Data
from experiments.settings import Settings
from losses import MaskedCrossentropy
from metrics import MaskedAccuracy, MeanCrossentropy, Perplexity
from models.xla import compiles, has_xla
from optimizers import make_optimizer
from schedules import make_schedule

_EVALUATED_TOKENS, _EVALUATED_LOGITS = 3072, 2**26  # at most, at a time
_KEPT_TOKENS = 2**20  # at most, padding among them; with targets and weights, 12 bytes each


def build_model(settings: Settings, corpus: Corpus, data: Data) -> models.ZooModel:
    """Makes the model that the settings describe, compiled and with fresh weights.

    Raises:
        UsageError: XLA asked for where there is none, or a warm-up longer than the training.
    """
    if settings.jit == "on" and not has_xla():
        raise UsageError("argument --jit: expected auto or off with PyTorch, got on: it has no XLA")
    keras.utils.set_random_seed(settings.seed)
    backend = keras.backend.backend()
    shared = settings.shared()
    of_sources = (
        {} if data.source_tokenizer is None else {"source_tokenizer": data.source_tokenizer}
    )
    model = models.ZOO[settings.model](
        data.tokenizer,
        **of_sources,
        **dataclasses.asdict(settings.architecture),
        dtype=settings.precision,
        provenance={
            **_texts(corpus, data, shared["corpus"], shared["validation"]),
            "settings": shared,
            "versions": {
                "python": platform.python_version(),
                "backend": backend,
                **{
                    name: importlib.metadata.version(name)
                    for name in ("keras", "tensorflow", backend)
                },
            },
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        },
    )
    model.compile(
        optimizer=_make_optimizer(settings, data, model),
        loss=MaskedCrossentropy(label_smoothing=settings.label_smoothing),
        weighted_metrics=[MeanCrossentropy(), MaskedAccuracy(), Perplexity()],
        jit_compile=settings.jit == "on"
        or (settings.jit == "auto" and compiles(not settings.is_tiny)),
    )
    model.optimizer.build(model.trainable_variables)  # a checkpoint holds its variables too
    if backend == "tensorflow":
        _reset_metrics_together(model)
    return model


def _reset_metrics_together(model):
    """Has the metrics of a compiled model reset in one operation of TensorFlow.

    Keras sets one variable after the other, 2 ms for each epoch: a fifteenth of the toy's time.
    """
    import tensorflow as tf

    one_by_one, metrics = model.reset_metrics, model._compile_metrics
    together = tf.function(one_by_one, autograph=False)

    def reset_metrics():
        # Only of those that the operation was made for, and not before they are built.
        is_known = model._compile_metrics is metrics and metrics.built
        (together if is_known else one_by_one)()

    model.reset_metrics = reset_metrics


def _texts(corpus, data, source, validation):
    """What a model and a run say of their texts."""
    texts = {"corpus": {"source": source, "sha256": corpus.sha256}}
    if validation is not None:
        texts["validation"] = {"source": validation, "sha256": data.evaluated_on.sha256}
    return texts


def _make_optimizer(settings, data, model):
    updates = spans(settings, data)[1] // settings.accumulate
    if settings.warmup_steps >= max(updates, 1):
        raise UsageError(
            f"argument --warmup-steps: expected fewer than the {updates:,} steps of the training, "
            f"got {settings.warmup_steps}"
        )
    return make_optimizer(
        settings.optimizer,
        model,
        make_schedule(settings.learning_rate, updates, settings.warmup_steps, settings.decay),
        settings.weight_decay,
        settings.beta_2,
        settings.epsilon,
        global_clipnorm=settings.clip_norm,
        gradient_accumulation_steps=settings.accumulate if settings.accumulate > 1 else None,
        use_ema=settings.average > 0,
        ema_momentum=settings.average,
    )


def spans(settings: Settings, data: Data) -> tuple[int, int]:
    """How many batches make an "epoch", after which everything is evaluated, and a training.

    An epoch is `eval_every` steps, or else a pass over the text, or with `steps` 250 of them. The
    last one may be cut short by the number of steps. A step takes `accumulate` batches.
    """
    a_pass = data.training.steps_per_epoch(settings.batch_size)
    if settings.steps is None:
        batches, span = a_pass * settings.epochs, a_pass
    else:
        batches, span = settings.steps * settings.accumulate, 250 * settings.accumulate
    if settings.eval_every is not None:
        span = settings.eval_every * settings.accumulate
    return min(span, batches), batches


def evaluation_batches(settings: Settings, data: Data):
    """The batches that a training is evaluated on.

    A forward pass needs less memory than a step and is fastest with some 3,000 tokens at a time;
    fewer where the vocabulary is so large that their logits would take more than 256 MB. They are
    kept after the first time, if they are not many: to make the toy's anew takes 30 ms.
    """
    tokens = min(_EVALUATED_TOKENS, _EVALUATED_LOGITS // data.tokenizer.vocabulary_size)
    length, all_rows = data.evaluation.context_length, data.evaluation.steps_per_epoch(1)
    rows = min(max(tokens // length, settings.batch_size), all_rows)
    distribution = keras.distribution.distribution()
    groups = 1 if distribution is None else distribution.num_model_replicas  # of devices
    batches = data.evaluation.evaluation_batches(-(-rows // groups) * groups)
    return batches.cache() if all_rows * length <= _KEPT_TOKENS else batches


def open_folder(
    settings: Settings,
    corpus: Corpus,
    data: Data,
    model: models.ZooModel,
    run_name: str | None = None,
    resumed: Path | None = None,
) -> Path:
    """Makes the run's folder with its config.json, or opens that of a run that goes on.

    Args:
        settings: the run's settings.
        corpus: the run's text. config.json says where it lies, so that the run finds it from
            anywhere; the models, which may be passed on, say only what the user called it.
        data: what was made of it.
        model: the run's model, whose provenance goes into config.json too.
        run_name: the folder's name in `settings.logs`. Default None: made from corpus, model and
            time.
        resumed: the folder of the run to go on with. Default None: a new one.

    Raises:
        UsageError: a folder that exists, can't be made, or is in use.
    """
    if not processes.is_first():
        return processes.own_folder(resumed)
    folder = runs.make_folder(settings, run_name) if resumed is None else resumed
    runs.keep_for_this_process(folder)
    (folder / runs.RESULTS).unlink(missing_ok=True)
    validation = None if settings.validation is None else data.evaluated_on.source
    texts = _texts(corpus, data, corpus.source, validation)
    provenance = {**model.provenance, **texts}
    config = {**dataclasses.asdict(settings), "provenance": provenance}
    runs.write_json(folder / runs.CONFIG, config)
    console.print(f"run     {folder}\n", soft_wrap=True)
    return folder


class Outcome(NamedTuple):
    """How a training ended.

    Attributes:
        stopped_by: the signal that ended it early, SIGINT or SIGTERM; None if none did.
        diverged_at: after how many steps loss or weights were no finite numbers; None if never.
        course: how it went, for training.json: the steps made, how long they took without
            evaluations and compilation, and the loss of each clean evaluation. Empty in other
            processes than the first.
        best_figures, last_figures: what evaluations on the way gave of best.keras and last.keras;
            None where there was none.
    """

    stopped_by: signal.Signals | None
    diverged_at: int | None
    course: dict
    best_figures: dict[str, float] | None = None
    last_figures: dict[str, float] | None = None


def fit(
    settings: Settings,
    data: Data,
    model: models.ZooModel,
    folder: Path,
    progress: keras.callbacks.Callback | None = None,
) -> Outcome:
    """Trains the model, watched by the callbacks, and leaves best.keras and last.keras.

    Where the folder has a checkpoint, training goes on from it. After a divergence last.keras is
    the model of the last checkpoint.

    Args:
        settings, data, model: what to train.
        folder: the run's folder.
        progress: that of `make_callbacks`.
    """
    for leftover in folder.glob(".*"):  # of a process that was killed while it wrote
        leftover.unlink()
    evaluation_data = evaluation_batches(settings, data)
    watchers = make_callbacks(settings, data, folder, evaluation_data, progress)
    _, batches = spans(settings, data)
    path = folder / runs.CHECKPOINT
    checkpoint = callbacks.Checkpoint(path, model, watchers, last_step=batches)
    if path.exists():
        try:
            checkpoint.restore()
        except ValueError as error:
            raise UsageError(f"argument --resume: {error}") from error
    stopped_by = diverged_at = None
    if checkpoint.step < batches and not any(getattr(w, "has_stopped", False) for w in watchers):
        stopped_by, diverged_at = _go_on(
            settings, data, model, evaluation_data, watchers, checkpoint
        )
    if processes.count() > 1:  # they have done all that they do together
        processes.keep_own_copy(model)
    if not processes.is_first():
        return Outcome(stopped_by, diverged_at, {})
    if diverged_at is not None:
        checkpoint.restore()
    model.save(folder / "last.keras")
    if not (folder / "best.keras").exists():  # ended before the first evaluation
        model.save(folder / "best.keras")
    best, scalars = (
        next(watcher for watcher in watchers if isinstance(watcher, kind))
        for kind in (callbacks.BestCheckpoint, callbacks.Scalars)
    )
    course = _course(settings, data, best, scalars)
    return Outcome(stopped_by, diverged_at, course, best.best_figures, best.last_figures)


def _course(settings, data, best, scalars):
    """How a training went, from what the callbacks kept of it."""
    steps, seconds, batches = np.array(scalars.epochs or [(0, 0.0, 0)]).T
    epochs = [epoch for epoch, _ in best.losses]
    return {
        "steps": int(steps[-1]),
        "tokens_a_step": data.training.tokens_per_batch(settings.batch_size) * settings.accumulate,
        "seconds": seconds.sum(),
        "timed_steps": batches.sum() / settings.accumulate,
        "evaluations": {
            "steps": steps[epochs].astype(int).tolist(),
            "seconds": seconds.cumsum()[epochs].tolist(),
            "losses": [loss for _, loss in best.losses],
        },
    }


_STEERING = (
    *(callbacks.StopOnDivergence, callbacks.StopAtStep),
    *(callbacks.AveragedWeights, callbacks.EarlyStopping),
)


def _go_on(settings, data, model, evaluation_data, watchers, checkpoint):
    """Trains from the checkpoint to the end, or to what ends it earlier; returns what that was."""
    span, batches = spans(settings, data)
    done = checkpoint.step
    epochs = checkpoint.epoch + math.ceil((batches - done) / span)
    several = processes.count() > 1
    interrupt = processes.StopOnInterrupt() if several else callbacks.StopOnInterrupt()
    divergence = callbacks.StopOnDivergence()
    others = [divergence, callbacks.StopAtStep(batches - done), *watchers, checkpoint]
    if not processes.is_first():  # only what steers the training
        others = [other for other in others if isinstance(other, _STEERING)]
    model.fit(
        processes.own_rows(
            data.training.training_batches(settings.batch_size, settings.seed, done)
        ),
        steps_per_epoch=span,
        initial_epoch=checkpoint.epoch,
        epochs=epochs,
        validation_data=processes.own_rows(evaluation_data) if settings.validates else None,
        callbacks=[interrupt, *([processes.OnOwnCopy(others)] if several else others)],
        shuffle=False,
        verbose=0,
    )
    if divergence.diverged_at is not None:
        return None, (done + divergence.diverged_at) // settings.accumulate
    (best,) = (w for w in watchers if isinstance(w, callbacks.BestCheckpoint))
    was_whole = interrupt.stopped_by is None and settings.validates
    if was_whole and best.best_epoch == epochs - 1 > 0:
        flag = "--epochs" if settings.steps is None else "--steps"
        console.print(f"\nthe validation loss was still falling: more {flag} may lower it")
    return interrupt.stopped_by, None


_SAMPLES = {Pairs: callbacks.SampleTargets, MaskedTexts: callbacks.SampleFillings}


def make_callbacks(
    settings: Settings,
    data: Data,
    folder: Path,
    evaluation_data,
    progress: keras.callbacks.Callback | None = None,
) -> list[keras.callbacks.Callback]:
    """What watches a run: checkpoints, TensorBoard's dashboards, the progress.

    Args:
        settings, data, folder: of the run.
        evaluation_data: what is evaluated where nothing is kept for validation.
        progress: what shows how far the run has come. Default None: a bar on the terminal.
    """
    span, batches = spans(settings, data)
    count = math.ceil(batches / span)
    if settings.attention_every is None:
        epochs = callbacks.spread_epochs(count)
    else:
        epochs = [*range(0, count, settings.attention_every), count - 1]
    draw_by_time = settings.attention_every is None and settings.corpus != "toy"
    scalars_every = settings.batch_scalars_every
    if scalars_every is None and settings.steps is not None:
        scalars_every = max(span // settings.accumulate // 25, 1)
    scalars = callbacks.Scalars(
        folder, scalars_every, data.training.tokens_per_batch(settings.batch_size)
    )
    if settings.validates:
        best = callbacks.BestCheckpoint(folder / "best.keras")
    else:  # a clean evaluation of the training text takes the place of validation
        best = callbacks.BestCheckpoint(
            folder / "best.keras", evaluation_data, epochs, log_dir=scalars.validation
        )
    writes_targets = isinstance(data.evaluation, Pairs)
    samples = _SAMPLES.get(type(data.evaluation), callbacks.SamplePredictions)
    # A checkpoint holds their states in this order.
    watchers = [
        *([callbacks.AveragedWeights()] if settings.average else []),
        best,
        scalars,
        callbacks.AttentionHeatmaps(
            scalars.train, data.probes, epochs=None if draw_by_time else epochs
        ),
        samples(scalars.train, data.samples),
        callbacks.ProgressBar(console, batches) if progress is None else progress,
    ]
    if writes_targets:
        watchers.append(callbacks.TargetScores(scalars.validation, *data.evaluation.questions()))
    if data.training.writes_on:
        unknown = data.tokenizer.unknown_id
        prompts = [probe for probe in data.probes if unknown not in data.tokenizer.encode(probe)]
        if prompts:
            watchers.append(callbacks.Continuations(scalars.train, prompts))
    if settings.patience is not None:
        watchers.append(callbacks.EarlyStopping("val_loss", patience=settings.patience))
    return watchers
