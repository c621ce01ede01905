"""The paper's encoder, made to predict the next token."""

import keras

from models.transformer import TransformerLanguageModel


@keras.saving.register_keras_serializable(package="mini_transformer")
class EncoderLanguageModel(TransformerLanguageModel):
    """A Transformer encoder that reads a prefix of a text and predicts the token after it.

    Every position sees the whole prefix, also what lies to its right, so only the prediction at
    the last token says something about the future: train it on prefixes (`data.prefixes`), with
    weight on their last token. Padding (id 0) must be on the right; nothing attends to it, so the
    logits of real tokens do not depend on how much of it there is.

    Arguments are those of `TransformerLanguageModel`; the defaults are the paper's architecture.

    Example:

    >>> from data.tokenizer import WordTokenizer
    >>> tokenizer = WordTokenizer.from_texts(["i love deep learning"])
    >>> model = EncoderLanguageModel(tokenizer, context_length=4)
    >>> tuple(model(np.array([tokenizer.encode("i love")])).shape)
    (1, 2, 6)

    Reference: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, figure 1, left half.
    """

    is_causal = False
    objective = "prefixes"  # of `data.objectives`

    def __init__(self, *args, name: str = "encoder", **kwargs):
        super().__init__(*args, name=name, **kwargs)
