"""Training steps of an encoder-decoder, beside what users would take instead.

    pip install -r benchmarks/requirements.txt
    python benchmarks/encoder_decoder_speed.py [--rounds 5]

The sizes are those of the preset g2p: three layers of each kind, width 128, four heads, batches of
256 pairs of up to 12 tokens, some of it padding. "zoo" is the paper's architecture, as the others
have it: normalisation after each sub-layer, ReLU, dropout 0.1, Adam; the preset itself does more
(two short convolutions a layer, Muon, averaged weights, label smoothing). Each measurement is a new
process, and the kinds take turns. Printed are medians.
"""

import os
import statistics
import sys
import time
from pathlib import Path

from turns import take_turns

PROJECT = Path(__file__).resolve().parent.parent
LAYERS, HEADS, D_MODEL, DFF, LENGTH, BATCH = 3, 4, 128, 512, 12, 256
LETTERS, PHONES = 30, 43  # ids of sources and of targets
WARM_UP, STEPS = 10, 40


def batches(seed: int = 0):
    """Endless random batches of source ids, target ids and the next target ids, as NumPy arrays."""
    import numpy as np

    generator = np.random.default_rng(seed)
    while True:
        lengths = generator.integers(5, LENGTH + 1, (BATCH, 1))
        is_real = np.arange(LENGTH + 1) < lengths
        sources = np.where(is_real, generator.integers(2, LETTERS, is_real.shape), 0)
        targets = np.where(is_real, generator.integers(2, PHONES, is_real.shape), 0)
        yield tuple(
            ids.astype("int32") for ids in (sources[:, :-1], targets[:, :-1], targets[:, 1:])
        )


def fit_seconds(model, to_inputs) -> float:
    """Seconds of a step of `model.fit`, its compilation left out."""
    import tensorflow as tf

    spec = tf.TensorSpec((BATCH, LENGTH), tf.int32)
    dataset = tf.data.Dataset.from_generator(batches, output_signature=(spec,) * 3)
    # tf.data's tuner may hold up the end of `fit` by as long as it took: see data/examples.py.
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = dataset.map(to_inputs).prefetch(2).with_options(options)
    model.fit(dataset, steps_per_epoch=WARM_UP, epochs=1, verbose=0, shuffle=False)
    begin = time.perf_counter()
    model.fit(dataset, steps_per_epoch=STEPS, epochs=1, verbose=0, shuffle=False)
    return (time.perf_counter() - begin) / STEPS


def zoo(*flags) -> dict:
    """This project's model, trained as `train.py` does."""
    import string
    import tempfile

    sys.path.insert(0, str(PROJECT))
    from experiments import cli

    cli.import_keras()
    import tensorflow as tf

    from data.corpora import load_corpus
    from experiments import preparation, training
    from experiments.flags import parse_settings

    letters = string.ascii_letters[: LETTERS - 3]
    phones = " ".join(f"P{number}" for number in range(PHONES - 4))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.tsv"
        path.write_text("".join(f"{letter * 9}\t{phones}\n" for letter in letters))
        argv = ["--preset", "g2p", "--context-length", "64", "--validation-split", "0"]
        argv += ["--warmup-steps", "0", "--epochs", "1000", *flags]
        settings, _ = parse_settings([*argv, "--corpus", str(path)])
        corpus = load_corpus(settings.corpus)
        data = preparation.prepare_data(settings, corpus)
        model = training.build_model(settings, corpus, data)

    def to_inputs(sources, targets, following):
        weights = tf.cast(following > 0, tf.float32)
        return {"source_ids": sources, "target_ids": targets}, following, weights

    return {"seconds": fit_seconds(model, to_inputs), "parameters": model.count_params()}


def papers_architecture() -> dict:
    """This project's model with what the others have."""
    return zoo(
        *("--position", "learned", "--norm", "layer", "--norm-placement", "post", "--no-qk-norm"),
        *("--activation", "relu", "--convolution", "none", "--bias", "--output-scale", "1"),
        *(
            "--optimizer",
            "adam",
            "--weight-decay",
            "0",
            "--average",
            "0",
            "--learning-rate",
            "1e-3",
        ),
        *("--label-smoothing", "0"),
    )


def keras_hub() -> dict:
    """KerasHub's layers, with their defaults but for dropout."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import keras_hub

    layers = keras_hub.layers
    sizes = {"intermediate_dim": DFF, "num_heads": HEADS, "dropout": 0.1}
    source_ids, target_ids = (keras.Input((LENGTH,), dtype="int32") for _ in range(2))
    x, y = (
        layers.TokenAndPositionEmbedding(size, LENGTH, D_MODEL, mask_zero=True)(ids)
        for size, ids in ((LETTERS, source_ids), (PHONES, target_ids))
    )
    for _ in range(LAYERS):
        x = layers.TransformerEncoder(**sizes)(x)
    for _ in range(LAYERS):
        y = layers.TransformerDecoder(**sizes)(y, x)
    model = keras.Model([source_ids, target_ids], keras.layers.Dense(PHONES)(y))
    model.compile(
        keras.optimizers.Adam(1e-3, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
    )
    seconds = fit_seconds(model, lambda source, target, following: ((source, target), following))
    return {"seconds": seconds, "parameters": model.count_params()}


def pytorch() -> dict:
    """PyTorch's `nn.Transformer`, eager."""
    import torch
    from torch import nn

    torch.manual_seed(0)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.source, self.target = nn.Embedding(LETTERS, D_MODEL), nn.Embedding(PHONES, D_MODEL)
            self.source_places = nn.Embedding(LENGTH, D_MODEL)
            self.target_places = nn.Embedding(LENGTH, D_MODEL)
            self.transformer = nn.Transformer(
                D_MODEL, HEADS, LAYERS, LAYERS, DFF, dropout=0.1, batch_first=True
            )
            self.logits = nn.Linear(D_MODEL, PHONES)
            self.future = nn.Transformer.generate_square_subsequent_mask(LENGTH)

        def forward(self, source_ids, target_ids):
            padding = source_ids == 0
            x = self.source(source_ids) + self.source_places.weight
            y = self.target(target_ids) + self.target_places.weight
            y = self.transformer(
                *(x, y),
                tgt_mask=self.future,
                tgt_is_causal=True,
                src_key_padding_mask=padding,
                memory_key_padding_mask=padding,
            )
            return self.logits(y)

    model = Model().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    parameters = sum(weight.numel() for weight in model.parameters())
    for step, arrays in enumerate(batches()):
        if step == WARM_UP:
            begin = time.perf_counter()
        if step == WARM_UP + STEPS:
            seconds = (time.perf_counter() - begin) / STEPS
            return {"seconds": seconds, "parameters": parameters}
        sources, targets, following = (torch.from_numpy(ids).long() for ids in arrays)
        logits = model(sources, targets)
        loss = nn.functional.cross_entropy(
            logits.flatten(0, 1), following.flatten(), ignore_index=0
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    raise AssertionError  # batches are endless


KINDS = {
    "zoo": papers_architecture,
    "zoo, preset g2p": zoo,
    "keras_hub": keras_hub,
    "torch.nn.Transformer": pytorch,
}


def main() -> None:
    """Measures and prints."""
    found = take_turns(__doc__.splitlines()[0], KINDS)
    medians = {kind: statistics.median(f["seconds"] for f in rows) for kind, rows in found.items()}
    for kind, median in medians.items():
        print(
            f"{kind:22} {found[kind][0]['parameters']:9,} parameters  {1e3 * median:6.1f} ms a step"
            f"  {BATCH / median:7,.0f} pairs/s"
        )
    best = min(median for kind, median in medians.items() if not kind.startswith("zoo"))
    print(f"zoo / best of the others  {best / medians['zoo']:.2f} times")


if __name__ == "__main__":
    main()
