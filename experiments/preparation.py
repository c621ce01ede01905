"""From a corpus to what a model is trained on, evaluated on and shown."""

from typing import NamedTuple

import callbacks
import models
from data.corpora import Corpus
from data.examples import Examples
from data.objectives import OBJECTIVES
from data.pairs import Pairs, Side
from data.token_cache import cached_tokenizer
from data.tokenizer import TOKENIZERS, Tokenizer
from experiments.cli import UsageError, find_corpus
from experiments.settings import Settings


class Data(NamedTuple):
    """A corpus made ready for training.

    Attributes:
        tokenizer: made of the text to train on; of pairs, of the targets.
        training: what to train on.
        evaluation: what figures are reported on: the part kept for validation, or what is trained
            on where none is kept.
        samples: pairs of a prompt and what follows it, for the tables of predictions; of pairs, a
            source and its targets.
        probes: texts whose attention is drawn; of pairs, a source and maybe its target.
        trained_on: the text that is trained on.
        evaluated_on: the text that figures are reported on.
        source_tokenizer: of pairs, that of the sources, unless it is the same. Default None.
    """

    tokenizer: Tokenizer
    training: Examples
    evaluation: Examples
    samples: list[tuple[str, str]]
    probes: list[str | tuple[str, ...]]
    trained_on: Corpus
    evaluated_on: Corpus
    source_tokenizer: Tokenizer | None = None


def prepare_data(settings: Settings, corpus: Corpus, validation: Corpus | None = None) -> Data:
    """Turns a corpus into a tokenizer, and into what to train on, evaluate and show.

    Args:
        settings: the run's.
        corpus: what it trains on, and maybe validates on.
        validation: what it validates on. Default None: what the settings say.

    Raises:
        UsageError: a corpus that leaves nothing to learn or nothing to validate on.
    """
    kind = TOKENIZERS[settings.tokenizer]
    text, held_out = corpus.split(settings.validation_split, at_lines=kind.loses_line_ends)
    if settings.validation is not None:
        held_out = validation or find_corpus(settings.validation, "--validation")
    if not any(piece.strip() for piece in text.pieces()):
        raise UsageError(
            f"argument --validation-split: {settings.validation_split:g} of {settings.corpus} "
            "leaves nothing to train on; expected a smaller share"
        )
    if text.has_pairs:
        return _prepare_pairs(settings, text, held_out)
    extra_tokens = models.ZOO[settings.model].extra_tokens
    tokenizer = _tokenizer(settings, settings.tokenizer, text, extra_tokens)
    training = _training_examples(settings, text, tokenizer)
    if settings.validates:
        evaluation = _evaluation_examples(settings, held_out, tokenizer)
    else:
        held_out, evaluation = text, training
        if settings.train_length is not None:
            evaluation = _examples(settings, text, tokenizer, settings.context_length)
    samples = _samples(tokenizer, (evaluation, held_out), (training, text))
    probes = _probes(settings) or [tokenizer.decode(training.probe(text, tokenizer))]
    return Data(tokenizer, training, evaluation, samples, probes, text, held_out)


def _prepare_pairs(settings, text, held_out):
    if next(text.pairs(), None) is None:
        raise UsageError(
            f"argument --corpus: {settings.corpus}: expected at least two different sources, for "
            "some are kept for validation, found one (--validation-split 0 keeps none)"
        )
    kind = settings.source_tokenizer or settings.tokenizer
    sides = ((0, 1),) if settings.share_vocabulary else ((1,), (0,))
    kinds = settings.tokenizer, kind
    tokenizer, *source_tokenizer = (
        _tokenizer(settings, kind, Side(text, side), extra)
        for kind, side, extra in zip(kinds, sides, (("[BEGIN]", "[END]"), ("[END]",)), strict=False)
    )
    source_tokenizer = source_tokenizer[0] if source_tokenizer else None

    def read(part, flag):
        examples = Pairs.read(part, tokenizer, settings.context_length, source_tokenizer)
        if not examples.pairs:
            raise UsageError(
                f"argument {flag}: expected a pair of at most {settings.context_length - 1} tokens "
                f"on each side, found none among {examples.left_out:,} (see --context-length)"
            )
        return examples

    training = evaluation = read(text, "--corpus")
    if settings.validates:
        evaluation = read(held_out, "--corpus" if settings.validation is None else "--validation")
    else:
        held_out = text
    questions = [
        ((source_tokenizer or tokenizer).decode(source), [tokenizer.decode(t) for t in targets])
        for source, targets in evaluation.samples()
    ]
    samples = [(source, " / ".join(targets)) for source, targets in questions]
    rights = dict(held_out.pairs()) if settings.probe else {}
    probes = [
        (probe, rights[probe]) if probe in rights else (probe,) for probe in _probes(settings) or ()
    ] or [(questions[0][0], questions[0][1][0])]
    return Data(tokenizer, training, evaluation, samples, probes, text, held_out, source_tokenizer)


def _tokenizer(settings, name, text, extra_tokens=()):
    kind = TOKENIZERS[name]
    size = settings.vocabulary_size
    if settings.fill_vocabulary:  # the size of all, special tokens too; bpe counts the first two
        size -= len(extra_tokens) + (0 if name == "bpe" else len(kind.special_tokens))
    tokenizer = cached_tokenizer(text, kind, *([size] if kind.takes_size else []))
    if len(tokenizer.pieces) < 2:
        raise UsageError(
            f"argument --corpus: {settings.corpus}: expected at least two different "
            f"{tokenizer.pieces_name} to train on, found {len(tokenizer.pieces)}"
            + (" (see --validation-split)" if settings.validation_split else "")
        )
    if settings.fill_vocabulary:
        missing = settings.vocabulary_size - tokenizer.vocabulary_size - len(extra_tokens)
        extra_tokens = *(f"[UNUSED {n}]" for n in range(1, missing + 1)), *extra_tokens
    return tokenizer.with_extra_tokens(*extra_tokens) if extra_tokens else tokenizer


def _training_examples(settings, text, tokenizer):
    training = _examples(settings, text, tokenizer, settings.longest_example)
    if not training.count:
        raise UsageError(
            f"argument --corpus: {settings.corpus}: expected a line of at least two "
            f"{tokenizer.pieces_name} to train on, found none"
        )
    if settings.longest_example > training.longest_context:
        flag = "--context-length" if settings.train_length is None else "--train-length"
        raise UsageError(
            f"argument {flag}: {settings.corpus} has {training.longest_context + 1} "
            f"{tokenizer.pieces_name} to train on; expected fewer than that, "
            f"got {settings.longest_example}"
        )
    return training


def _evaluation_examples(settings, held_out, tokenizer):
    evaluation = _examples(settings, held_out, tokenizer, settings.context_length)
    if not evaluation.count:
        raise UsageError(
            f"argument --validation-split: {settings.validation_split:g} of {settings.corpus} "
            f"holds no line of at least two {tokenizer.pieces_name}; expected a larger share, or 0"
        )
    return evaluation


def _examples(settings, text, tokenizer, length):
    objective = OBJECTIVES[models.ZOO[settings.model].objective]
    return objective.read(text, tokenizer, length)


def _samples(tokenizer, *parts):
    """Of the first part that has prompts fit to be read; or else of the last one, as they are."""
    for examples, text in parts:
        prompts = examples.prompts(text, tokenizer)
        readable = [prompt for prompt in prompts if _is_readable(tokenizer, prompt[0])]
        if readable:
            break
    return [
        (
            tokenizer.decode(prompt),
            " / ".join(callbacks.visible(token) for token in tokenizer.tokens(followers)),
        )
        for prompt, followers in readable or prompts
    ]


def _is_readable(tokenizer, prompt):
    text = tokenizer.decode(prompt)
    is_known = tokenizer.unknown_id not in prompt
    # With bpe a prompt may end inside a character.
    return is_known and text.strip() and "\N{REPLACEMENT CHARACTER}" not in text


def _probes(settings):
    for probe in settings.probe or []:
        if not probe.split():
            raise UsageError(f"argument --probe: expected at least one word, got {probe!r}")
        if not probe.isprintable() and probe != probe.encode(errors="ignore").decode():
            raise UsageError(f"argument --probe: expected text, got {probe!r}")
    return settings.probe
