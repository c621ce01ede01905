"""How fast a model generates: tokens a second, and the time of a token early and late in a text.

    pip install -r benchmarks/requirements.txt
    python benchmarks/generation.py [--rounds 5]

One prompt of one character, 500 new ones, with keys and values kept: our `generate`, and that of
Hugging Face's GPT-2 on PyTorch. Both models have GPT-2's architecture with 4 layers of width 128
and a context of 512; speed does not depend on what they have learned, so they have learned nothing.
Each measurement is a new process, and the two take turns. Compiling is not counted. Printed are
medians.
"""

import statistics
import sys
import time
from pathlib import Path

from turns import take_turns

PROJECT = Path(__file__).resolve().parent.parent
VOCABULARY, CONTEXT, LAYERS, HEADS, D_MODEL = 65, 512, 4, 4, 128
NEW_TOKENS = 500
TOKENS_AT_A_TIME = 50
CALLS = 5


def make_model():
    """Our untrained model of 65 characters."""
    sys.path.insert(0, str(PROJECT))
    from experiments import cli

    cli.import_keras()
    from data.tokenizer import CharTokenizer
    from models import DecoderLanguageModel

    return DecoderLanguageModel(
        CharTokenizer(map(chr, range(32, 32 + VOCABULARY))),
        context_length=CONTEXT,
        d_model=D_MODEL,
        num_heads=HEADS,
        num_layers=LAYERS,
        dff=4 * D_MODEL,
        dropout=0.0,
        position="learned",
        norm_placement="pre",
        activation="gelu",
    )


def seconds_of(generate) -> float:
    """The median time of a call, after one that compiles."""
    generate()
    times = []
    for _ in range(CALLS):
        begin = time.perf_counter()
        generate()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def zoo() -> dict[str, float]:
    """Our figures: tokens a second, and milliseconds a token at 50 to 100 and at 450 to 500.

    The latter are each the fastest of some calls, for whatever else the machine does hits one or
    the other.
    """
    model = make_model()
    seconds = seconds_of(lambda: model.generate("A", NEW_TOKENS))
    times = []  # of each piece, in each call
    for seed in range(1 + CALLS):
        times.append([])
        begin = time.perf_counter()
        for _ in model.stream("A", NEW_TOKENS, seed=seed, tokens_at_a_time=TOKENS_AT_A_TIME):
            end = time.perf_counter()
            times[-1].append(1000 * (end - begin) / TOKENS_AT_A_TIME)
            begin = end
    fastest = [min(piece) for piece in zip(*times, strict=True)]
    return {"tokens/s": NEW_TOKENS / seconds, "early": fastest[1], "late": fastest[-1]}


def gpt2() -> dict[str, float]:
    """The peer's tokens a second."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"n_positions": CONTEXT, "n_embd": D_MODEL, "n_layer": LAYERS, "n_head": HEADS}
    tokens = {"vocab_size": VOCABULARY, "bos_token_id": None, "eos_token_id": None}
    model = GPT2LMHeadModel(GPT2Config(**sizes, **tokens, pad_token_id=0)).eval()
    prompt = torch.tensor([[33]])

    def generate():
        with torch.inference_mode():
            texts = model.generate(prompt, max_new_tokens=NEW_TOKENS, do_sample=True)
        assert texts.shape == (1, 1 + NEW_TOKENS)

    return {"tokens/s": NEW_TOKENS / seconds_of(generate)}


KINDS = {"zoo": zoo, "GPT-2, PyTorch": gpt2}


def main() -> None:
    """Measures and prints."""
    rows = take_turns(__doc__.splitlines()[0], KINDS)
    medians = {
        kind: {key: statistics.median(row[key] for row in values) for key in values[0]}
        for kind, values in rows.items()
    }
    for kind, figures in medians.items():
        speeds = [row["tokens/s"] for row in rows[kind]]
        print(
            f"{kind:18} {figures['tokens/s']:8,.0f} tokens/s  "
            f"({min(speeds):,.0f} to {max(speeds):,.0f})"
        )
    ours, theirs = (figures["tokens/s"] for figures in medians.values())
    print(f"ours / theirs      {ours / theirs:8.1f} times")
    early, late = medians["zoo"]["early"], medians["zoo"]["late"]
    print(f"ms a token, early  {early:8.3f}")
    print(f"ms a token, late   {late:8.3f}  ({late / early:.2f} times)")


if __name__ == "__main__":
    main()
