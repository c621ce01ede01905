"""GPT-2's architecture on the characters of a text, in plain PyTorch: what a user would write.

    python benchmarks/plain_pytorch.py shakespeare.txt

Sizes, steps, learning rates and evaluations are those of the preset gpt2-classic-char: 2,000 steps
of 12 x 64 characters, and after every 250 the loss of the whole last tenth of the text. It is eager
PyTorch, which on a processor is what starts soonest. The last line says, as JSON, when the
first step was made and training ended, how long steps and evaluations took, and the losses.
"""

import json
import math
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

LAYERS, HEADS, D_MODEL, DFF, CONTEXT, BATCH = 4, 4, 128, 512, 64, 12
STEPS, EVAL_EVERY, EVAL_BATCH, WARM_UP, RATE = 2000, 250, 64, 100, 1e-3


class Block(nn.Module):
    """Attention and a feed-forward network, each after a normalisation and with a residual."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(D_MODEL, bias=False) for _ in range(2))
        self.query_key_value = nn.Linear(D_MODEL, 3 * D_MODEL, bias=False)
        self.project = nn.Linear(D_MODEL, D_MODEL, bias=False)
        self.hidden = nn.Linear(D_MODEL, DFF, bias=False)
        self.output = nn.Linear(DFF, D_MODEL, bias=False)

    def forward(self, x):
        heads = self.query_key_value(self.norm1(x)).unflatten(-1, (3, HEADS, D_MODEL // HEADS))
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # each (B, N, T, H)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(attended.transpose(1, 2).flatten(2))
        return x + self.output(F.gelu(self.hidden(self.norm2(x))))


class GPT(nn.Module):
    """Token ids (B, T) in, logits (B, T, V) out."""

    def __init__(self, vocabulary_size):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary_size, D_MODEL)
        self.positions = nn.Embedding(CONTEXT, D_MODEL)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(D_MODEL, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                is_last = name.endswith(("project.weight", "output.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * LAYERS if is_last else 1))

    def forward(self, ids):
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        return F.linear(self.norm(self.blocks(x)), self.tokens.weight)


@torch.no_grad()
def evaluate(model, ids) -> float:
    """The mean loss of all tokens of a text but the first, read in windows side by side."""
    inputs, targets = ids[:-1].split(CONTEXT), ids[1:].split(CONTEXT)
    total = 0.0
    for begin in range(0, len(inputs), EVAL_BATCH):
        rows = slice(begin, begin + EVAL_BATCH)
        x = nn.utils.rnn.pad_sequence(inputs[rows], batch_first=True)
        y = nn.utils.rnn.pad_sequence(targets[rows], batch_first=True, padding_value=-100)
        logits = model(x).flatten(0, 1)
        total += F.cross_entropy(logits, y.flatten(), reduction="sum").item()
    return total / (len(ids) - 1)


def main() -> None:
    """Trains and prints."""
    torch.manual_seed(0)
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    characters = {character: number for number, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([characters[character] for character in text])
    training, validation = ids.tensor_split([int(0.9 * len(ids))])
    model = GPT(len(characters))
    matrices, others = (
        [p for p in model.parameters() if (p.dim() > 1) == is_matrix] for is_matrix in (True, False)
    )
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=RATE,
        fused=True,  # the fastest of PyTorch's ways
    )
    found = {"first_step": None, "evaluations": 0.0, "steps": [], "losses": []}
    best = math.inf
    for step in range(STEPS):
        begin = time.perf_counter()
        done = (step - WARM_UP) / (STEPS - WARM_UP)
        rate = step / WARM_UP if done < 0 else 0.55 + 0.45 * math.cos(math.pi * done)
        for group in optimizer.param_groups:
            group["lr"] = RATE * rate
        starts = torch.randint(len(training) - CONTEXT, (BATCH,))
        windows = torch.stack([training[start : start + CONTEXT + 1] for start in starts])
        logits = model(windows[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        found["first_step"] = found["first_step"] or time.time()
        found["steps"].append(time.perf_counter() - begin)
        if (step + 1) % EVAL_EVERY == 0:
            begin = time.perf_counter()
            validation_loss = evaluate(model, validation)
            found["evaluations"] += time.perf_counter() - begin
            found["losses"].append((time.time(), validation_loss))
            if validation_loss < best:
                best = validation_loss
                torch.save([model.state_dict(), optimizer.state_dict()], "best.pt")
            print(f"step {step + 1}: loss {loss.item():.4f}, validation {validation_loss:.4f}")
    print(json.dumps({**found, "end": time.time()}))


if __name__ == "__main__":
    main()
