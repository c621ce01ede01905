"""The causal language model, GPT's kind."""

import keras

from models.transformer import TransformerLanguageModel


@keras.saving.register_keras_serializable(package="mini_transformer")
class DecoderLanguageModel(TransformerLanguageModel):
    """A Transformer that reads from left to right and predicts the next token at every position.

    It is the encoder with one change: position t attends to positions 0 to t only. So what it says
    at t can't depend on what comes later, and one pass over a text trains the prediction of every
    token of it, where the encoder learns from the last one alone. The name is the field's:
    "decoder-only", the paper's decoder without the encoder that it listens to.

    Arguments are those of `TransformerLanguageModel`.

    Example:

    >>> from data.tokenizer import WordTokenizer
    >>> tokenizer = WordTokenizer.from_texts(["i love deep learning"])
    >>> model = DecoderLanguageModel(tokenizer, context_length=4, position="rotary")
    >>> tuple(model(np.array([tokenizer.encode("i love")])).shape)
    (1, 2, 6)

    References: Radford et al. (2018), Improving Language Understanding by Generative Pre-Training;
    Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.2.3.
    """

    is_causal = True
    objective = "windows"  # of `data.objectives`

    def __init__(self, *args, name: str = "decoder", **kwargs):
        super().__init__(*args, name=name, **kwargs)
