"""Training tokens per second, beside what users would take instead.

    pip install -r benchmarks/requirements.txt
    python benchmarks/training_speed.py [--rounds 5]

Four layers of width 128 with four heads, context 64, batch 12, GELU, AdamW, no dropout, random
characters: the size of the preset gpt2-classic-char, on the processor. Each measurement is a new
process, and the kinds take turns. Printed are medians.

The last line compares the arithmetic of our step with the fastest matrix products that the machine
makes in the same session: 6 floating-point operations for each weight of a matrix and token, and
12 D T for the attention of each layer and token.
"""

import os
import statistics
import sys
import time
from pathlib import Path

from turns import take_turns

PROJECT = Path(__file__).resolve().parent.parent
LAYERS, HEADS, D_MODEL, DFF, VOCABULARY, CONTEXT, BATCH = 4, 4, 128, 512, 65, 64, 12
WARM_UP, STEPS = 20, 100


def batches(seed: int = 0):
    """Endless random batches of (token ids, next token ids), as NumPy arrays."""
    import numpy as np

    generator = np.random.default_rng(seed)
    while True:
        ids = generator.integers(2, VOCABULARY, (BATCH, CONTEXT + 1))
        yield ids[:, :-1].astype("int32"), ids[:, 1:].astype("int32")


def fit_seconds(model, dataset) -> float:
    """Seconds of a step of `model.fit`, its compilation left out."""
    model.fit(dataset, steps_per_epoch=WARM_UP, epochs=1, verbose=0, shuffle=False)
    begin = time.perf_counter()
    model.fit(dataset, steps_per_epoch=STEPS, epochs=1, verbose=0, shuffle=False)
    return (time.perf_counter() - begin) / STEPS


def zoo() -> float:
    """This project's decoder, trained as `train.py` does."""
    import string
    import tempfile

    sys.path.insert(0, str(PROJECT))
    from experiments import cli

    cli.import_keras()
    from data.corpora import load_corpus
    from experiments import preparation, training
    from experiments.flags import parse_settings

    ids = next(batches())[0].ravel().repeat(20)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.txt"
        characters = string.printable[:VOCABULARY]
        path.write_text(characters + "".join(characters[i] for i in ids))
        settings, _ = parse_settings(["--preset", "gpt2-classic-char", "--corpus", str(path)])
        corpus = load_corpus(settings.corpus)
        data = preparation.prepare_data(settings, corpus)
        model = training.build_model(settings, corpus, data)
        dataset = data.training.training_batches(settings.batch_size, seed=0)
        return fit_seconds(model, dataset)


def keras_attention() -> float:
    """The same architecture of Keras's own layers, with Keras's defaults."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    layers = keras.layers
    token_ids = keras.Input((CONTEXT,), dtype="int32")
    x = layers.Embedding(VOCABULARY, D_MODEL)(token_ids)
    x = x + layers.Embedding(CONTEXT, D_MODEL)(keras.ops.arange(CONTEXT))
    for _ in range(LAYERS):
        y = layers.LayerNormalization()(x)
        y = layers.MultiHeadAttention(HEADS, D_MODEL // HEADS)(y, y, use_causal_mask=True)
        x = x + y
        y = layers.LayerNormalization()(x)
        y = layers.Dense(DFF, activation="gelu")(y)
        x = x + layers.Dense(D_MODEL)(y)
    logits = layers.Dense(VOCABULARY)(layers.LayerNormalization()(x))
    model = keras.Model(token_ids, logits)
    model.compile(
        keras.optimizers.AdamW(1e-3, weight_decay=0.1, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    spec = tf.TensorSpec((BATCH, CONTEXT), tf.int32)
    dataset = tf.data.Dataset.from_generator(batches, output_signature=(spec, spec)).prefetch(2)
    # tf.data's tuner may hold up the end of `fit` by as long as it took: see data/examples.py.
    options = tf.data.Options()
    options.autotune.enabled = False
    return fit_seconds(model, dataset.with_options(options))


def hugging_face() -> float:
    """Hugging Face's GPT-2 on PyTorch, with its defaults but for dropout."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=CONTEXT,
        n_embd=D_MODEL,
        n_layer=LAYERS,
        n_head=HEADS,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    model = GPT2LMHeadModel(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    for step, (token_ids, targets) in enumerate(batches()):
        if step == WARM_UP:
            begin = time.perf_counter()
        if step == WARM_UP + STEPS:
            return (time.perf_counter() - begin) / STEPS
        logits = model(torch.from_numpy(token_ids).long()).logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), torch.from_numpy(targets).long().flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    raise AssertionError  # batches are endless


def matrix_products() -> float:
    """Seconds of 10^12 operations of the fastest float32 matrix products that TensorFlow makes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    size = 2048
    a = tf.random.normal((size, size))
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        tf.matmul(a, a).numpy()
        times.append(time.perf_counter() - begin)
    return min(times) / (2 * size**3) * 1e12


KINDS = {
    "zoo": zoo,
    "keras.layers.MultiHeadAttention": keras_attention,
    "Hugging Face GPT-2, PyTorch": hugging_face,
    "matrix products": matrix_products,
}


def main() -> None:
    """Measures and prints."""
    seconds = take_turns(__doc__.splitlines()[0], KINDS)
    medians = {kind: statistics.median(values) for kind, values in seconds.items()}
    product = medians.pop("matrix products")
    for kind, median in medians.items():
        rate = BATCH * CONTEXT / median
        print(f"{kind:34} {1e3 * median:6.1f} ms a step  {rate:8,.0f} tokens/s")
    best = min(median for kind, median in medians.items() if kind != "zoo")
    print(f"zoo / best of the others   {best / medians['zoo']:.2f} times")
    matrices = LAYERS * (4 * D_MODEL**2 + 2 * D_MODEL * DFF) + D_MODEL * VOCABULARY
    operations = BATCH * CONTEXT * (6 * matrices + LAYERS * 12 * D_MODEL * CONTEXT)
    rate = operations / medians["zoo"] / 1e9
    print(
        f"zoo's arithmetic           {rate:.0f} GFLOP/s, {rate / (1e3 / product):.0%} of the "
        f"{1e3 / product:.0f} of matrix products"
    )


if __name__ == "__main__":
    main()
