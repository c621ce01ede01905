"""What is known of a study's texts without a Transformer: n-gram models, guessing, sizes."""

from collections.abc import Sequence

from data.corpora import load_corpus
from data.ngrams import ngram_losses
from experiments.comparison.study import Study, Variant
from experiments.flags import parse_settings


def key_of(variant: Variant) -> str:
    """Equal for variants of which the same is known."""
    s = variant.settings
    # Lines are cut to it, and texts into pieces.
    context = s.context_length if s.model in ("encoder", "masked") else None
    return f"{_tokens_of(variant)} {context}"


def _tokens_of(variant):
    s = variant.settings
    size = None if s.tokenizer == "char" else s.vocabulary_size
    validation = s.validation_split if s.validation is None else s.validation
    return f"{s.corpus} {s.tokenizer} {size} {validation} {s.model}"


def predict_alike(study: Study, one: Variant, other: Variant) -> bool:
    """Whether the losses of two variants are of the same tokens of the same text."""
    if key_of(one) == key_of(other):
        return True
    if _tokens_of(one) != _tokens_of(other):
        return False
    first, second = known_of(study, one), known_of(study, other)
    # Contexts differ; of each line that one of them cuts there are fewer tokens to predict.
    return None not in (first, second) and first["tokens"] == second["tokens"]


def known_of(study: Study, variant: Variant) -> dict | None:
    """What `study.baselines` holds of a variant's text; None where it is not known yet."""
    return study.baselines.get(key_of(variant))


def missing(study: Study) -> dict[str, Variant]:
    """For each text that nothing is known of yet, one of its variants, by `key_of`."""
    texts = {key_of(variant): variant for variant in study.variants.values()}
    return {key: variant for key, variant in texts.items() if key not in study.baselines}


def measure(arguments: Sequence[str]) -> dict:
    """What is known of the text of a training, on the tokens that its model predicts.

    Args:
        arguments: flags of `train.py`.

    Returns:
        "tokens" that are predicted, and the "characters" that they cover; the mean loss in nats of
        "uniform" guessing and of the "n-grams" of orders 1 to 6, none of them for a masked model,
        which reads on both sides.
    """
    from experiments import preparation  # only now: it imports Keras

    settings, _ = parse_settings(arguments)
    corpus = load_corpus(settings.corpus)
    data = preparation.prepare_data(settings, corpus)
    tokenizer = data.tokenizer
    pieces = data.evaluation.predicted_pieces(data.evaluated_on, tokenizer)
    uniform, *ngrams = ngram_losses(
        data.training.token_rows(), data.evaluation.token_rows(), tokenizer.vocabulary_size
    )
    return {
        "tokens": data.evaluation.count,
        "characters": sum(len(piece) + len(tokenizer.separator) for piece in pieces),
        "uniform": uniform,
        "n-grams": [] if settings.model == "masked" else ngrams,
    }
