"""What a training needs, before it begins: memory, arithmetic and communication of each device.

Weights and what the optimizer keeps of them are counted on the model itself. Arithmetic is that of
matrix products, which is nearly all. What a step keeps for its backward pass is estimated, layer by
layer. docs/scaling.md has the formulas in words, and how far they are from compiled programs.

Letters as in `layers.attention`: B rows of a device's batch, T and S tokens of a row (of a target
and its source with pairs, else the same), N heads, D d_model, V vocabulary.
"""

import math
import re
from typing import NamedTuple

import models
from data.pairs import Pairs
from experiments import devices
from experiments.console import console, make_table
from experiments.preparation import Data
from experiments.settings import Settings
from layers.causal_blocks import block_bounds
from layers.fused_attention import has_fused_attention

# How many arrays of `dff` numbers a token the backward pass of an activation reads.
_HIDDEN_ARRAYS = {"relu": 2, "relu_squared": 2, "gelu": 4, "swiglu": 5}
_ADAM_OPERATIONS = 13  # for each weight
_FLOAT32 = 4  # bytes


class Costs(NamedTuple):
    """What one device needs for a step of training.

    Attributes:
        memory: bytes, by what they are for.
        arithmetic: floating-point operations of a step, forward and backward, by what they are for.
        communication: by what is added up among devices: the bytes of a step that a device has of
            it, and among how many devices.
    """

    memory: dict[str, int]
    arithmetic: dict[str, tuple[int, int]]
    communication: dict[str, tuple[int, int]]

    @property
    def peak(self) -> int:
        """Bytes at the worst moment: gradients come as activations go, layer by layer."""
        lasting = ("weights", "optimizer state", "averages")
        passing = self.memory["activations"] + self.memory["logits"]
        lasting = sum(self.memory.get(name, 0) for name in lasting)
        return lasting + max(passing, self.memory["gradients, update"])

    @property
    def sent(self) -> int:
        """Bytes that a device sends in a step, and receives.

        In a ring of n devices each sends every n-th part 2 (n - 1) times: once around to be added
        up, once around to be known.
        """
        return sum(
            2 * (number - 1) * size // number for size, number in self.communication.values()
        )


def estimate(
    settings: Settings,
    data: Data,
    model: models.ZooModel,
    number: int = 1,
    model_parallel: int = 1,
) -> Costs:
    """What a device needs where `number` devices train a model.

    Where batches have several shapes, as those of pairs have, it is about the largest one.

    Args:
        settings, data: of the run.
        model: as `training.build_model` makes it; it need not be laid out on devices.
        number: how many devices. They need not be there. Default 1.
        model_parallel: how many of them share a model; see `devices.distribute`. Default 1.

    Example:

    >>> from data.corpora import load_corpus
    >>> from experiments import costs, preparation, training
    >>> settings = Settings(batch_size=8)
    >>> corpus = load_corpus("toy")
    >>> data = preparation.prepare_data(settings, corpus)
    >>> toy = training.build_model(settings, corpus, data)
    >>> found = costs.estimate(settings, data, toy, number=4)
    >>> found.communication["gradients"] == (4 * toy.count_params(), 4)
    True
    """
    run = _Run(settings, data, model, number, model_parallel)
    return Costs(run.memory(), run.arithmetic(), run.communication())


class _Run:
    """One training on some devices, for `estimate`: its sizes, and what is counted with them."""

    def __init__(self, settings, data, model, number, model_parallel):
        self.settings, self.optimizer = settings, model.optimizer
        self.groups, self.parts = number // model_parallel, model_parallel
        self.rows = settings.batch_size // self.groups  # B
        self.has_pairs = isinstance(data.training, Pairs)
        if self.has_pairs:
            _, self.source_length, self.length = max(data.training.shapes, key=lambda s: s[1:])
        else:
            token_ids, *_ = data.training.training_batches(settings.batch_size, 0).element_spec
            self.length = self.source_length = token_ids.shape[1]
        self.vocabulary_size = data.tokenizer.vocabulary_size
        self.number_bytes = 2 if settings.precision == "mixed_bfloat16" else _FLOAT32
        self.weights = model.trainable_variables
        self.fixed = model.non_trainable_variables
        # Matrices that vectors are multiplied with; that of the logits may be an embedding's.
        self.kernels = [w for w in self.weights if re.search("/kernel$", w.path) and w.ndim == 2]
        of_logits = "embedding/embedding/embeddings" if settings.tie_embeddings else "logits/kernel"
        (self.logits,) = (w for w in self.weights if w.path == of_logits)

    def parts_of(self, weight):
        """Among how many devices a weight is split."""
        axis = devices.split_axis(self.settings, weight.path, weight.shape, self.parts)
        return 1 if axis is None else self.parts

    def bytes_of(self, weights):
        """What a device has of some weights."""
        return sum(_FLOAT32 * math.prod(w.shape) // self.parts_of(w) for w in weights)

    def tokens(self, weight):
        """How many vectors of a batch a weight is multiplied with on a device."""
        reads_sources = re.search(
            "^(encoder_layer|source_)|cross_attention/(key|value)", weight.path
        )
        return self.rows * (self.source_length if reads_sources else self.length)

    def attentions(self):
        """Of each attention the T and S of its blocks: one, or those of `layers.causal_blocks`."""
        source, target = self.source_length, self.length
        lengths = [(source, source), (target, target), (target, source)]
        a_layer = [[pair] for pair in (lengths if self.has_pairs else lengths[1:2])]
        if self.settings.model == "decoder":
            a_layer = [[(end - start, end) for start, end in block_bounds(target)]]
        return a_layer * self.settings.num_layers

    # Memory

    def memory(self):
        kept = {"averages": 0, "optimizer state": 0}
        names = {weight.path.replace("/", "_"): weight for weight in self.weights}
        for variable in self.optimizer.variables:
            name, _, of_what = variable.path.split("/")[-1].rpartition("_")
            weight = names.get(name.removesuffix("_gradient"), variable)  # _gradient_accumulator
            part = "averages" if of_what == "average" else "optimizer state"
            kept[part] += self.bytes_of([weight])
        return {
            "weights": self.bytes_of([*self.weights, *self.fixed]),
            "optimizer state": kept["optimizer state"],
            **({"averages": kept["averages"]} if self.settings.average else {}),
            "gradients, update": self.update_bytes(),
            "activations": self.activations(),
            "logits": self.rows
            * self.length
            * (self.vocabulary_size // self.parts_of(self.logits))
            * (2 * _FLOAT32 + self.number_bytes % _FLOAT32),  # and their gradient
        }

    def update_bytes(self):
        """Gradients, and what is made of them until the weights are updated."""
        copies = 1
        if self.groups > 1:  # what is added up, and the sums
            copies += 1
        if self.settings.accumulate > 1:  # those of the batches before, and all together
            copies += 2
        return copies * self.bytes_of(self.weights) + 2 * self.bytes_of(self.muon_matrices())

    def muon_matrices(self):
        """What Muon makes orthogonal: matrices that have no second moments."""
        velocities = getattr(self.optimizer, "adam_velocities", [True] * len(self.weights))
        return [w for w, v in zip(self.weights, velocities, strict=True) if v is None]

    def activations(self):
        """What the backward pass reads of the forward pass, without the logits.

        Of each token a sub-layer keeps vectors of D numbers, those inside it split among devices.
        """
        s = self.settings
        width, numbers = s.d_model, self.number_bytes
        norm = width * _FLOAT32 * (2 if s.norm == "rms" else 3)  # computed in float32
        dropout = width * (numbers + _FLOAT32) if s.dropout else 0
        sub_layer = norm + dropout + width * numbers  # and its input
        convolved = 4 * width * numbers
        of_scores = s.num_heads * (numbers + _FLOAT32) * (2 if s.attention_dropout else 1)
        normed = 3 * width * _FLOAT32 if s.qk_norm else 0
        total = 0
        for blocks in self.attentions():
            length, copies = map(sum, zip(*blocks, strict=True))  # each block copies its keys
            key_length = blocks[-1][1]
            scores = sum(t * s for t, s in blocks) * of_scores
            if self.is_fused():  # a kernel keeps one number of each query
                copies, scores = key_length, length * s.num_heads * _FLOAT32
            queries = length * (2 * width * numbers + normed)  # and the heads' outputs
            # And values; both are repeated where heads share them.
            keys = copies * 2 * width * numbers + key_length * normed
            inside = queries + keys + scores
            total += length * sub_layer + inside // self.parts
        stacks = [self.source_length, self.length] if self.has_pairs else [self.length]
        convolutions = {"none": 0, "both": 2}.get(s.convolution, 1)
        hidden = s.dff * _HIDDEN_ARRAYS[s.activation] * numbers
        hidden //= 1 if s.dff % self.parts else self.parts
        a_layer = (sub_layer + hidden if s.dff else 0) + convolutions * convolved
        ends = 3 * width * numbers + dropout + (norm if s.norm_placement == "pre" else 0)
        head = norm + 5 * width * numbers if s.model == "masked" else 0
        total += sum(stacks) * (s.num_layers * a_layer + ends) + self.length * head
        return self.rows * total

    def is_fused(self):
        """Whether the scores of self-attention are nowhere stored, as `MultiHeadAttention` says."""
        s = self.settings
        stored = s.position == "alibi" or s.softmax_plus_one or s.attention_dropout
        dtype = "bfloat16" if self.number_bytes == 2 else "float32"
        return s.model == "decoder" and not stored and has_fused_attention(dtype)

    # Arithmetic

    def arithmetic(self):
        """A product of (n, m) and (m, k) takes 2 n m k operations, and its gradients twice that."""
        in_layers = sum(
            2 * self.tokens(w) * math.prod(w.shape) // self.parts_of(w)
            for w in self.kernels
            if w is not self.logits
        )
        scores = sum(t * s for blocks in self.attentions() for t, s in blocks)
        of_attention = 2 * 2 * self.rows * scores * self.settings.d_model // self.parts
        of_logits = 2 * self.rows * self.length * math.prod(self.logits.shape)
        of_logits //= self.parts_of(self.logits)
        forward = {"layers": in_layers, "attention": of_attention, "logits": of_logits}
        batches = self.settings.accumulate
        operations = {name: (batches * n, 2 * batches * n) for name, n in forward.items()}
        return {**operations, "update": (0, self.update_operations())}

    def update_operations(self):
        operations = _ADAM_OPERATIONS * self.bytes_of(self.weights) // _FLOAT32
        for matrix in self.muon_matrices():
            short, long = sorted(matrix.shape)
            steps, times = self.optimizer.ns_steps, self.products_with(matrix)
            # X X^T and what is made of it times X, split; and products of these, which each device
            # makes: a square at a step, and three more between two steps without an X.
            operations += times * 4 * short**2 * long // self.parts
            operations += (steps + 3 * (steps - times)) * 2 * short**3
        return operations

    def products_with(self, matrix):
        """How often Muon computes X X^T of a matrix."""
        has_small = self.optimizer.has_small_products(*sorted(matrix.shape))
        return 1 if has_small else self.optimizer.ns_steps

    # Communication

    def communication(self):
        batches, sums = self.settings.accumulate, {}
        if self.groups > 1:
            # That of a tied matrix comes in two parts, which are added up one by one.
            tied = [self.logits] if self.settings.tie_embeddings else []
            sums["gradients"] = batches * self.bytes_of([*self.weights, *tied]), self.groups
        if self.parts > 1:
            forward, backward = self.split_products()
            sums["activations, forward"] = batches * forward * self.number_bytes, self.parts
            sums["activations, backward"] = batches * backward * self.number_bytes, self.parts
        if self.parts > 1 and self.muon_matrices():
            squares = sum(self.products_with(m) * min(m.shape) ** 2 for m in self.muon_matrices())
            sums["update"] = squares * _FLOAT32, self.parts
        return sums

    def split_products(self):
        """How many numbers are added up among the devices of a group, forward and backward.

        Where a kernel's outputs are split, each device has a part of the gradient of its inputs;
        where its inputs are, a part of its outputs. Of an embedding each knows some tokens.
        """
        s = self.settings
        forward = backward = 0
        for weight in self.weights:
            vectors = self.tokens(weight) * s.d_model
            if self.parts_of(weight) == 1:
                if re.search("attention/(key|value)/kernel$", weight.path):  # read by split heads
                    backward += self.tokens(weight) * weight.shape[1]
            elif weight.path.endswith("/embeddings"):
                forward += vectors
                if s.share_vocabulary and self.has_pairs:
                    forward += self.rows * self.source_length * s.d_model
            elif weight.path.endswith("/output/kernel"):
                forward += vectors
            elif weight.path.endswith("/kernel") and weight is not self.logits:
                backward += vectors
        if self.parts_of(self.logits) > 1:
            backward += self.rows * self.length * s.d_model
        return forward, backward


def print_costs(costs: Costs, number: int = 1, model_parallel: int = 1) -> None:
    """Says what each device needs: see `Costs`.

    Args:
        costs: what `estimate` gave.
        number, model_parallel: those of `estimate`.
    """
    groups = number // model_parallel
    if number > 1:
        console.print(
            f"devices {groups} x {model_parallel}: each has 1 / {groups} of a batch, and 1 / "
            f"{model_parallel} of the weights that can be split"
        )
    console.print()
    table = make_table("memory of a device", "", gap=2)
    for name, size in costs.memory.items():
        table.add_row(name, with_unit(size, "B"))
    table.add_row("all of these", with_unit(sum(costs.memory.values()), "B"))
    table.add_row("at a time, at most", with_unit(costs.peak, "B"))
    console.print(table)
    console.print()
    table = make_table("arithmetic of a step, by device", "forward", "backward", gap=2)
    forward, backward = (sum(column) for column in zip(*costs.arithmetic.values(), strict=True))
    for name, row in {**costs.arithmetic, "all of these": (forward, backward)}.items():
        table.add_row(name, *(with_unit(operations, "FLOP") for operations in row))
    console.print(table)
    if costs.communication:
        console.print()
        table = make_table("communication of a step", "added up", "among devices", gap=2)
        for name, (size, among) in costs.communication.items():
            table.add_row(name, with_unit(size, "B"), str(among))
        console.print(table)
        console.print(f"a device sends {with_unit(costs.sent, 'B')}, and receives as much")


def with_unit(number: float, unit: str) -> str:
    """A number with three digits and a unit of powers of 1000.

    Example:

    >>> with_unit(1_234_567, "B"), with_unit(12, "FLOP"), with_unit(0, "B")
    ('1.23 MB', '12 FLOP', '0 B')
    """
    power = 0
    while number >= 999.5 and power < 6:
        number, power = number / 1000, power + 1
    digits = 0 if power == 0 or number >= 99.95 else 1 if number >= 9.995 else 2
    return f"{number:.{digits}f} {['', 'k', 'M', 'G', 'T', 'P', 'E'][power]}{unit}"
