"""Scores of saved models, and pictures of their attention: the steps of `evaluate.py`."""

import contextlib
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.progress import track

from callbacks import AttentionFigure
from data.corpora import CorpusError, load_corpus
from data.examples import Examples
from data.objectives import OBJECTIVES
from data.tokenizer import Tokenizer
from experiments import pictures
from experiments.cli import UsageError, load_model
from experiments.console import console
from experiments.runs import read_corpus_provenance
from experiments.settings import FIELDS
from experiments.token_losses import Predictions, predictions
from models import EncoderDecoderModel, ZooModel


class Score(NamedTuple):
    """How well one model does on one text. Means are over the predicted tokens.

    Attributes:
        name: the run's folder, and the file's stem where that is not "best".
        path: the file.
        text: what it was scored on.
        parameters: number of trainable and other weights.
        file_bytes: size of the file.
        loss: mean cross-entropy in nats.
        perplexity: exp(loss).
        top1: share of tokens that were the likeliest prediction.
        top5: share of tokens among the five likeliest.
        bits_per_character: summed cross-entropy in bits, divided by the characters that the
            predicted tokens cover, a word counting the separator before it. It compares models
            whose tokens differ.
        tokens_per_second: predicted tokens by wall-clock time, without compilation.
        unknown: share of the predicted tokens that are out of the model's vocabulary. They all
            count as one token, [UNK], and the more there are, the easier that is to predict: a
            model that knows few words looks better than it is.
    """

    name: str
    path: str
    text: str
    parameters: int
    file_bytes: int
    loss: float
    perplexity: float
    top1: float
    top5: float
    bits_per_character: float
    tokens_per_second: float
    unknown: float


class WrittenTargets(NamedTuple):
    """How right the targets are that a model writes after the sources of a text.

    Attributes:
        sources: how many different sources there are.
        too_long: how many of them the model can't read; they count as wrong.
        beams: how many targets are kept in view while each is written.
        exact_match, word_error_rate, token_error_rate: those of `models.translation.TargetScores`.
        greedy: the same for one beam.
    """

    sources: int
    too_long: int
    beams: int
    exact_match: float
    word_error_rate: float
    token_error_rate: float
    greedy: dict[str, float]


class Evaluation(NamedTuple):
    """What is known of a model once it has predicted a text.

    Attributes:
        score: how well it did.
        predictions: what it made of each token.
        examples: the tokens.
        tokenizer: the model's.
        source_tokenizer: that of the sources where targets are written, else None.
        targets: how right these are; None where the model writes none.
    """

    score: Score
    predictions: Predictions
    examples: Examples
    tokenizer: Tokenizer
    source_tokenizer: Tokenizer | None = None
    targets: WrittenTargets | None = None


def evaluate_models(
    paths: Sequence[str],
    corpus: str | None = None,
    batch_size: int = 64,
    beams: int = 5,
    length_penalty: float = 0.6,
) -> list[Evaluation]:
    """Evaluates several models, one after the other; see `evaluate_model`."""
    progress = track(paths, "scoring", transient=True, disable=not sys.stdout.isatty())
    return [
        evaluate_model(path, load_model(path), corpus, batch_size, beams, length_penalty)
        for path in progress
    ]


def evaluate_model(
    path: str,
    model: ZooModel,
    corpus: str | None = None,
    batch_size: int = 64,
    beams: int = 5,
    length_penalty: float = 0.6,
) -> Evaluation:
    """Evaluates one model.

    Args:
        path: the file it was loaded from.
        model: the model.
        corpus: what to score it on, as `load_corpus` takes it. Default None: the validation part
            of the corpus that it was trained on, or all of it where it had none.
        batch_size: examples evaluated at a time. Default 64.
        beams, length_penalty: where targets are written, those of `translate`. Default 5 and 0.6.

    Raises:
        UsageError: a corpus that can't be read, has changed since the training, has no line of
            two words, or is none of pairs where the model needs them or the other way round.
    """
    if corpus is None:
        text, name_of_text = _own_text(path, model)
    else:
        text, name_of_text = _read_corpus(corpus), corpus
    tokenizer = model.tokenizer
    writes_targets = isinstance(model, EncoderDecoderModel)
    if text.has_pairs != writes_targets:
        wanted = "pairs (reverse, dates or a .tsv file)" if writes_targets else "no pairs"
        raise UsageError(f"argument --corpus: {path}: expected {wanted}, got {name_of_text}")
    of_sources = {"source_tokenizer": model.source_tokenizer} if writes_targets else {}
    kind = OBJECTIVES[model.objective]
    examples = kind.read(text, tokenizer, model.context_length, **of_sources)
    if not examples.count:
        wanted = "a line of at least two words"
        if writes_targets:
            wanted = f"a pair of at most {model.context_length - 1} tokens on each side"
        raise UsageError(f"argument --corpus: {name_of_text}: expected {wanted}")
    predicted = examples.predicted_pieces(text, tokenizer)
    characters = sum(len(piece) + len(tokenizer.separator) for piece in predicted)
    found = predictions(model, examples, batch_size)
    loss = float(found.losses.mean(dtype="float64"))
    score = Score(
        name=_name(Path(path).resolve()),
        path=str(path),
        text=name_of_text,
        parameters=model.count_params(),
        file_bytes=os.path.getsize(path),
        loss=loss,
        perplexity=float(np.exp(loss)),
        top1=float(np.mean(found.ranks < 1)),
        top5=float(np.mean(found.ranks < 5)),
        bits_per_character=loss * examples.count / math.log(2) / characters,
        tokens_per_second=examples.count / found.seconds,
        unknown=float(np.mean(examples.targets == tokenizer.unknown_id)),
    )
    targets = _write_targets(model, examples, beams, length_penalty) if writes_targets else None
    return Evaluation(score, found, examples, tokenizer, **of_sources, targets=targets)


def _write_targets(model, examples, beams, length_penalty):
    """How right is what the model writes after every source of some pairs."""
    sources, rights = zip(*examples.answers(with_left_out=True).items(), strict=True)
    with console.status(f"writing targets for {len(sources):,} sources"):
        found = model.score_targets(sources, rights, beams, length_penalty)
        greedy = found if beams == 1 else model.score_targets(sources, rights)
    too_long = sum(len(source) >= model.context_length for source in sources)
    return WrittenTargets(len(sources), too_long, beams, **_rates(found), greedy=_rates(greedy))


def _rates(found):
    return {**found._asdict(), "word_error_rate": found.word_error_rate}


def _name(path):
    return path.parent.name if path.stem == "best" else f"{path.parent.name}/{path.stem}"


def _own_text(path, model):
    """What the model's own run was evaluated on, and a name for it."""
    part, source, sha256, split = _read_provenance(path, model.provenance)
    corpus = _find_corpus(path, part, source, sha256)
    if not split:
        return corpus, f"all of {corpus.source}"
    training, validation = corpus.split(split, at_lines=model.tokenizer.loses_line_ends)
    if not validation.length:
        return training, f"all of {corpus.source}"
    share = f"{split:.0%} of" if corpus.has_pairs else f"the last {split:.0%} of"
    return validation, f"{share} {corpus.source}"


def _find_corpus(path, part, source, sha256):
    """The text of this hash: at its source, or where the run's folder says that it lies.

    Nothing is fetched: the file may be a stranger's.
    """
    sources = [source]
    with contextlib.suppress(UsageError):
        other, hash_of_other = read_corpus_provenance(Path(path).resolve().parent, part)
        sources += [other] if hash_of_other == sha256 else []
    reasons = []
    for found in sources:
        try:
            corpus = load_corpus(found, may_fetch=False)
        except CorpusError as error:
            reasons.append(f"can't read what the model was {_USES[part]} on ({error})")
        else:
            if corpus.sha256 == sha256:
                return corpus
            reasons.append(
                f"{found} has changed since the model was {_USES[part]} on it, or is another text"
            )
    raise UsageError(f"{path}: {reasons[-1]}; expected --corpus")


_USES = {"corpus": "trained", "validation": "validated"}


def _read_provenance(path, provenance):
    """Of what a model was validated on: which entry names it, source, hash, and which share."""
    part = source = sha256 = split = None
    try:
        part = "validation" if "validation" in provenance else "corpus"
        source, sha256 = (provenance[part][key] for key in ("source", "sha256"))
        split = provenance["settings"]["validation_split"]
    except (KeyError, TypeError, IndexError):  # a file from elsewhere: anything may be there
        pass
    is_text = isinstance(source, str) and isinstance(sha256, str)
    if not is_text or split not in FIELDS["validation_split"].metadata["allowed"]:
        raise UsageError(
            f"{path}: the model does not say what it was trained on; expected --corpus"
        )
    return part, source, sha256, split


def _read_corpus(source):
    try:
        return load_corpus(source)
    except CorpusError as error:
        raise UsageError(f"argument --corpus: {error}") from error


def draw_attention(path: str, text: str, output: str) -> None:
    """Draws what a model attends to in a text, every layer and head, into a picture file.

    Of an encoder-decoder it is the cross-attention from a target to its source. The text is the
    source, or source, tab and target.
    """
    model = load_model(path)
    writes_targets = isinstance(model, EncoderDecoderModel)
    try:
        found = model.attention(*(text.split("\t", 1) if writes_targets else [text]))
    except ValueError as error:
        raise UsageError(f"argument --attention: {error}") from error
    if writes_targets:
        tokens, keys, scores = found.maps["cross"]
    else:
        (tokens, scores), keys = found, None
        if len(tokens) < len(model.tokenizer.split(text)):
            console.print(f"the model reads the last {len(tokens)} words only", soft_wrap=True)
    picture = AttentionFigure(tokens, (1, len(scores)), scores.shape[1], keys)
    picture.draw(scores)
    pictures.save(picture.figure, output)
    console.print(f"attention of {path}: {output}", soft_wrap=True)
