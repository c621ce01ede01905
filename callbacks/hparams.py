"""A run's hyper-parameters and results, for TensorBoard's HParams dashboard."""

from pathlib import Path


def write_hparams(
    log_dir: str | Path, hparams: dict, metrics: dict[str, float], name: str | None = None
) -> None:
    """Writes one trial: TensorBoard's HParams dashboard shows each run's as a row.

    The dashboard shows hyper-parameters before figures, those that differ between the trials
    first, each kind by name; five to begin with. So the figures are written as hyper-parameters
    too, with a capital letter, which sorts before small ones: the table leads with them.

    Args:
        log_dir: folder for the event file. The dashboard has a column for every scalar in it.
        hparams: hyper-parameters by name: numbers, strings or booleans. Give only what sets the
            trial apart.
        metrics: final figures by name; they are tagged `final/<name>`.
        name: the trial's name in the dashboard. Default None: `log_dir`.

    Example:

    >>> write_hparams("logs/run/validation", {"layers": 2}, {"loss": 0.21})  # doctest: +SKIP
    """
    import tensorflow as tf
    from tensorboard.plugins.hparams import api as hp

    figures = {name.capitalize(): value for name, value in metrics.items()}
    writer = tf.summary.create_file_writer(str(log_dir))
    with writer.as_default(step=0):
        hp.hparams({**figures, **hparams}, trial_id=name or str(log_dir))
        for name, value in metrics.items():
            tf.summary.scalar(f"final/{name}", value)
    writer.close()
