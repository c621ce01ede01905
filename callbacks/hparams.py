"""A run's hyper-parameters and results, for TensorBoard's HParams dashboard."""

from pathlib import Path


def write_hparams(
    log_dir: str | Path, hparams: dict, metrics: dict[str, float], name: str | None = None
) -> None:
    """Writes one trial: TensorBoard's HParams dashboard shows each run's as a row.

    Args:
        log_dir: folder for the event file.
        hparams: hyper-parameters by name: numbers, strings or booleans.
        metrics: final figures by name; they are tagged `final/<name>`.
        name: the trial's name in the dashboard. Default None: `log_dir`.

    Example:

    >>> write_hparams("logs/run/hparams", {"layers": 2}, {"loss": 0.21})  # doctest: +SKIP
    """
    import tensorflow as tf
    from tensorboard.plugins.hparams import api as hp

    writer = tf.summary.create_file_writer(str(log_dir))
    with writer.as_default(step=0):
        hp.hparams(hparams, trial_id=name or str(log_dir))
        for name, value in metrics.items():
            tf.summary.scalar(f"final/{name}", value)
    writer.close()
