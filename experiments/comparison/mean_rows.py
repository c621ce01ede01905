"""Rows of means for TensorBoard, beside those of the single trainings.

TensorBoard takes no means over runs, so they are written as runs of their own.
"""

import shutil
from pathlib import Path

from experiments import cli

FOLDER = "mean"


def write(folder: Path, rows: dict[str, dict]) -> None:
    """Writes for each variant a run whose scalars and whose row in HParams are means over seeds.

    Args:
        folder: the study's folder; what an earlier call wrote there goes.
        rows: by the variant's name, its "hparams" and "figures" as `callbacks.write_hparams` takes
            them, and its "curve": steps and losses.
    """
    cli.import_keras()
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb

    import callbacks

    for place in (folder / FOLDER).glob("*/"):
        shutil.rmtree(place)
    for name, row in rows.items():
        place = folder / FOLDER / name
        writer = callbacks.EventWriter(place)
        for step, loss in zip(*row["curve"], strict=True):
            writer.write(step, [scalar_pb("evaluation_loss_vs_iterations", loss)])
        writer.close(None)
        callbacks.write_hparams(place, row["hparams"], row["figures"], f"{name}, mean")
