"""How fast a model generates: tokens a second, and the time of a token early and late in a text.

    pip install -r benchmarks/requirements.txt
    python benchmarks/generation.py [--rounds 5]

One prompt of one character, 500 new ones, with keys and values kept: our `generate`, and that of
Hugging Face's GPT-2 on PyTorch. Both models have GPT-2's architecture with 4 layers of width 128
and a context of 512; speed does not depend on what they have learned, so they have learned nothing.
Beside that: 64 prompts side by side, also with a model whose weights (100 MB) are too large for a
processor's caches; the likeliest token always, and one drawn by top-k and top-p, where there are
5,000; and `generate.py` from its start to its first token, beside `import keras`.

Each measurement is a new process, and they take turns. Compiling is not counted, but for the first
token, where programs are on disk as they are the second time. Printed are medians.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from turns import take_turns

PROJECT = Path(__file__).resolve().parent.parent
VOCABULARY, CONTEXT, LAYERS, HEADS, D_MODEL = 65, 512, 4, 4, 128
MANY_TOKENS, MANY_PROMPTS = 5_000, 64
NEW_TOKENS = 500
TOKENS_AT_A_TIME = 50
CALLS = 5


def make_model(vocabulary: int = VOCABULARY, layers: int = LAYERS, d_model: int = D_MODEL):
    """Our untrained model of some characters, "A" among them."""
    sys.path.insert(0, str(PROJECT))
    from experiments import cli

    cli.import_keras()
    from data.tokenizer import CharTokenizer
    from models import DecoderLanguageModel

    return DecoderLanguageModel(
        CharTokenizer(map(chr, range(32, 32 + vocabulary))),
        context_length=CONTEXT,
        d_model=d_model,
        num_heads=HEADS,
        num_layers=layers,
        dff=4 * d_model,
        dropout=0.0,
        position="learned",
        norm_placement="pre",
        activation="gelu",
    )


def seconds_of(*calls) -> list[float]:
    """The median time of each of some calls that take turns, after one that compiles."""
    times = [[] for _ in calls]
    for number in range(1 + CALLS):
        for call, seconds in zip(calls, times, strict=True):
            begin = time.perf_counter()
            call()
            if number:
                seconds.append(time.perf_counter() - begin)
    return [statistics.median(seconds) for seconds in times]


def zoo() -> dict[str, float]:
    """Our figures: tokens a second, and milliseconds a token at 50 to 100 and at 450 to 500.

    The latter are each the fastest of some calls, for whatever else the machine does hits one or
    the other.
    """
    model = make_model()
    (seconds,) = seconds_of(lambda: model.generate("A", NEW_TOKENS))
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


def side_by_side(model, new_tokens: int) -> dict[str, float]:
    """Tokens a second of one prompt, and of 64 together."""
    one, many = seconds_of(
        lambda: model.generate("A", new_tokens),
        lambda: model.generate(MANY_PROMPTS * ["A"], new_tokens),
    )
    return {"one": new_tokens / one, "many": MANY_PROMPTS * new_tokens / many}


def chosen_from_many() -> dict[str, float]:
    """Tokens a second where there are 5,000 to choose from."""
    model = make_model(MANY_TOKENS)
    greedy, drawn = seconds_of(
        lambda: model.generate("A", NEW_TOKENS, top_k=1),
        lambda: model.generate("A", NEW_TOKENS, top_k=40, top_p=0.9),
    )
    return {"greedy": NEW_TOKENS / greedy, "drawn": NEW_TOKENS / drawn}


def first_token() -> dict[str, float]:
    """Seconds of two whole processes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        make_model().save(path)

        def run(*command):
            subprocess.run([sys.executable, *command], cwd=PROJECT, check=True, capture_output=True)

        first, alone = seconds_of(
            lambda: run("generate.py", path, "A", "--max-new-tokens", "1"),
            lambda: run("-c", "import keras"),
        )
    return {"first": first, "import keras": alone}


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

    (seconds,) = seconds_of(generate)
    return {"tokens/s": NEW_TOKENS / seconds}


ZOO, GPT2 = "zoo", "GPT-2, PyTorch"
SMALL, LARGE, CHOSEN, FIRST = "64 prompts", "64 prompts, 100 MB", "5,000 tokens", "first token"
KINDS = {
    ZOO: zoo,
    GPT2: gpt2,
    SMALL: lambda: side_by_side(make_model(), NEW_TOKENS),
    LARGE: lambda: side_by_side(make_model(layers=8, d_model=512), 50),
    CHOSEN: chosen_from_many,
    FIRST: first_token,
}


def main() -> None:
    """Measures and prints."""
    rows = take_turns(__doc__.splitlines()[0], KINDS)
    medians = {
        kind: {key: statistics.median(row[key] for row in values) for key in values[0]}
        for kind, values in rows.items()
    }
    for kind in (ZOO, GPT2):
        speeds = [row["tokens/s"] for row in rows[kind]]
        print(
            f"{kind:18} {medians[kind]['tokens/s']:8,.0f} tokens/s  "
            f"({min(speeds):,.0f} to {max(speeds):,.0f})"
        )
    ours, theirs = (medians[kind]["tokens/s"] for kind in (ZOO, GPT2))
    print(f"ours / theirs      {ours / theirs:8.1f} times")
    early, late = medians[ZOO]["early"], medians[ZOO]["late"]
    print(f"ms a token, early  {early:8.3f}")
    print(f"ms a token, late   {late:8.3f}  ({late / early:.2f} times)")
    for kind in (SMALL, LARGE):
        one, many = medians[kind].values()
        print(f"{kind:18} {many:8,.0f} tokens/s  ({many / one:.1f} times one)")
    greedy, drawn = medians[CHOSEN].values()
    print(f"{CHOSEN}, greedy {greedy:9,.0f} tokens/s")
    print(f"top-k and top-p    {drawn:8,.0f} tokens/s  ({drawn / greedy:.0%})")
    first, alone = medians[FIRST].values()
    print(f"{FIRST:18} {first:8.1f} s  (import keras {alone:.1f} s)")


if __name__ == "__main__":
    main()
