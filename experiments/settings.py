"""The settings of a training run: what each is, and what does not go together.

Importing this module does not import Keras, so that `--help` and errors come at once.
"""

import dataclasses
import functools
import os

from architecture import Architecture, Number, SettingError, setting
from data.corpora import BUILT_IN, holds_pairs

_COUNT = Number(int, least=1)
_AMOUNT = Number(float, least=0)
_SHARE = Number(float, least=0, below=1)
_data, _training, _watching, _run = (
    functools.partial(setting, group=title) for title in ("data", "training", "watching", "run")
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Architecture):
    """Everything that decides how a run goes: an architecture, and how it is trained on what.

    Each is the flag of the same name. The defaults are those for the built-in corpus `toy`.
    """

    model: str = setting(
        "encoder",
        "encoder: predicts the word after a whole prefix; decoder: reads from left to right and "
        "predicts at every position; encoder-decoder: writes a target after a source, and is what "
        "pairs are for; masked: fills in what is hidden in a text",
        ("encoder", "decoder", "encoder-decoder", "masked"),
        group="model",
    )
    corpus: str = _data(
        "toy",
        f"what to train on: {', '.join(BUILT_IN)} (built in), a UTF-8 text file, a folder of .txt "
        "files, or an http(s):// or file:// address; a file that ends in .tsv holds pairs, in each "
        "line a source, a tab and a target",
        f"{', '.join(BUILT_IN)}, a file, a folder or an address",
        metavar="TEXT",
    )
    tokenizer: str = _data(
        "word",
        "what a token is: a word, in lower case; a symbol between spaces, as it is written; a "
        "character; or with bpe, bytes that come together often, such as a word or a part of one",
        ("word", "symbol", "char", "bpe"),
    )
    source_tokenizer: str | None = _data(
        None,
        "of pairs, what a token of a source is",
        ("word", "symbol", "char", "bpe"),
        none="as of a target",
    )
    share_vocabulary: bool = _data(
        False, "of pairs, give sources and targets one vocabulary and one embedding"
    )
    vocabulary_size: int = _data(
        5000,
        "how many of the most frequent words to know; with bpe, how many tokens in all, at least "
        "258",
        Number(int, least=2),
    )
    fill_vocabulary: bool = _data(
        False, "have as many tokens as `vocabulary_size` says, whatever the text"
    )
    train_length: int | None = _data(
        None,
        "train on pieces of so many tokens, however long the context is that is evaluated; at most "
        "`context_length`",
        Number(int, least=2),
        none="the context",
    )
    validation_split: float = _data(
        0.0,
        "share of the text's end kept for validation, 0 to 1; of pairs, a share of the sources",
        _SHARE,
        file_default=0.1,
    )
    validation: str | None = _data(
        None,
        "validate on this text, or these pairs, and train on the whole corpus",
        "a text, as `corpus` takes it",
        none="a share of the corpus",
        metavar="TEXT",
    )
    optimizer: str = _training("adam", "how weights are updated", ("adam", "adamw", "muon"))
    learning_rate: float = _training(1e-3, "learning rate", _AMOUNT, aliases=("--lr",))
    warmup_steps: int = _training(
        0, "steps in which the learning rate rises from 0", Number(int, least=0)
    )
    decay: str = _training(
        "none",
        "how the learning rate falls: cosine, to a tenth; linear, to 0; inverse_sqrt, as "
        "sqrt(`warmup_steps` / step)",
        ("none", "cosine", "linear", "inverse_sqrt"),
    )
    beta_2: float | None = _training(
        None,
        "how much of its mean of squared gradients Adam keeps at a step; with muon, the Adam in it",
        _SHARE,
        none="0.999",
    )
    epsilon: float | None = _training(
        None,
        "what Adam adds to the root of that mean, so as not to divide by 0",
        Number(float, above=0),
        none="1e-7",
    )
    weight_decay: float = _training(
        0.0, "how fast adamw and muon shrink matrices, relative to the learning rate", _AMOUNT
    )
    label_smoothing: float = _training(
        0.0,
        "train on targets of which so much is spread evenly over all tokens; reported losses are "
        "without it",
        _SHARE,
    )
    clip_norm: float | None = _training(
        None,
        "shorten a gradient that is longer than this, all weights together",
        _AMOUNT,
        none="any",
    )
    average: float = _training(
        0.0,
        "evaluate and save weights averaged over some 1 / (1 - P) steps; 0: as they are",
        _SHARE,
    )
    epochs: int = _training(1000, "passes over the text", _COUNT, file_default=3)
    steps: int | None = _training(None, "train for so many steps instead of --epochs", _COUNT)
    eval_every: int | None = _training(
        None,
        "evaluate every N steps; such a span then counts as an epoch",
        _COUNT,
        none="a pass over the text; 250 with --steps",
    )
    patience: int | None = _training(
        None, "stop after N evaluations without a lower validation loss", _COUNT, none="never"
    )
    batch_size: int = _training(8, "examples a batch", _COUNT, file_default=64)
    accumulate: int = _training(
        1, "take N batches for a step: one update by the mean of their gradients", _COUNT
    )
    seed: int = _training(0, "decides all that is random", Number(int, least=0, below=2**31))
    jit: str = _training(
        "auto",
        "compile the training step with XLA; auto: but for tiny ones of TensorFlow, or PyTorch's",
        ("auto", "on", "off"),
    )
    precision: str = _training(
        "float32",
        "what is computed with; weights are float32 always",
        ("float32", "mixed_bfloat16"),
    )
    probe: list[str] | None = _watching(
        None,
        "texts whose attention is drawn",
        "a list of texts",
        none="a sentence of the corpus",
        metavar="TEXT",
    )
    attention_every: int | None = _watching(
        None,
        "draw attention every N epochs",
        _COUNT,
        none="about 40 times; as often as 5% of the time allows",
    )
    batch_scalars_every: int | None = _watching(
        None,
        "also write loss, learning rate and gradient norm every N steps",
        _COUNT,
        none="only every epoch; with --steps 25 times an epoch",
    )
    logs: str = _run("logs", "folder of all runs", "a folder", metavar="FOLDER")
    threads: int | None = _run(
        None,
        "threads that work on one operation (TensorFlow, PyTorch); another number changes the last "
        "digits",
        _COUNT,
        none="all cores; 1 for a tiny job",
    )

    def __post_init__(self):
        super().__post_init__()
        if self.context_length < 2:  # a token, and the one to predict
            raise SettingError("context_length", str(Number(int, least=2)), self.context_length)
        if self.train_length is not None and self.train_length > self.context_length:
            wanted = f"at most `context_length` {self.context_length}"
            raise SettingError("train_length", wanted, self.train_length)
        if self.tokenizer == "bpe" and self.vocabulary_size < SMALLEST_BPE_VOCABULARY:
            wanted = f"at least {SMALLEST_BPE_VOCABULARY} with `tokenizer` bpe, for all bytes and "
            wanted += "two special tokens"
            raise SettingError("vocabulary_size", wanted, self.vocabulary_size)
        if self.decay == "inverse_sqrt" and not self.warmup_steps:
            wanted = f"{Number(int, least=1)} with `decay` inverse_sqrt"
            raise SettingError("warmup_steps", wanted, self.warmup_steps)
        if self.patience is not None and not self.validates:
            raise SettingError("validation_split", "a number above 0 with `patience`", 0)
        if self.validation is not None and self.validation_split:
            wanted = "0 with `validation`"
            raise SettingError("validation_split", wanted, self.validation_split)
        self._check_pairs()

    def _check_pairs(self):
        is_for_pairs = self.model == "encoder-decoder"
        wanted = (
            "no pairs with" if not is_for_pairs else "pairs (reverse, dates or a .tsv file) for"
        )
        for name in ("corpus", "validation"):
            source = getattr(self, name)
            if source is not None and holds_pairs(source) != is_for_pairs:
                raise SettingError(name, f"{wanted} `model` {self.model}", source)
        for name in ("source_tokenizer", "share_vocabulary"):
            if getattr(self, name) and not is_for_pairs:
                wanted = "given with `model` encoder-decoder alone"
                raise SettingError(name, wanted, getattr(self, name))
        if self.share_vocabulary and self.source_tokenizer not in (None, self.tokenizer):
            wanted = "the same as `tokenizer` with `share_vocabulary`"
            raise SettingError("source_tokenizer", wanted, self.source_tokenizer)
        if self.train_length is not None and is_for_pairs:
            raise SettingError("train_length", "left out with pairs", self.train_length)

    @property
    def validates(self) -> bool:
        """Whether there is something that the model is not trained on, to evaluate it on."""
        return self.validation is not None or self.validation_split > 0

    @property
    def longest_example(self) -> int:
        """How many tokens of text the model is trained on at a time, at most."""
        return self.train_length or self.context_length

    @property
    def architecture(self) -> Architecture:
        """What the model is made of."""
        names = (field.name for field in dataclasses.fields(Architecture))
        return Architecture(**{name: getattr(self, name) for name in names})

    def shared(self) -> dict:
        """What a model's file says of them, which may be passed on.

        Nothing of how the run was watched and where it is kept; of a corpus whose path would tell
        the author's folders, only the name.
        """
        settings = {
            name: getattr(self, name)
            for name, field in FIELDS.items()
            if field.metadata["group"] not in ("watching", "run")
        }
        for name in ("corpus", "validation"):
            source = settings[name] or ""
            path = source.removeprefix("file://")
            if path != source or os.path.isabs(path):
                settings[name] = os.path.basename(os.path.normpath(path)) or "folder"
        return settings

    @property
    def is_tiny(self) -> bool:
        """Whether starting the work of a training step costs more than doing it.

        Measured on two cores: the toy's 2,000 steps take 8 s with one thread an operation and
        11 s with two, and XLA's compilation costs what it saves. With the defaults for a file a
        step takes 54 ms without XLA and 20 ms with it, whatever the threads.
        """
        return self.batch_size * self.longest_example * self.d_model < 4096

    @property
    def threads_an_operation(self) -> int | None:
        """What `threads` comes to; None: all cores."""
        return 1 if self.threads is None and self.is_tiny else self.threads


FIELDS = {field.name: field for field in dataclasses.fields(Settings)}
SMALLEST_BPE_VOCABULARY = 258  # the 256 bytes and two special tokens
