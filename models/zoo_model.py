"""What every model of the zoo is: a functional model that carries its tokenizer."""

import keras

from data.tokenizer import Tokenizer
from layers.checks import check_positive_integers
from models.saving import AtomicSaving
from models.xla import compiles


class ZooModel(AtomicSaving, keras.Model):
    """A functional Keras model from token ids to logits that carries its tokenizer.

    A subclass builds the graph of its layers and hands it to this constructor. What comes out is
    a `keras.Model` as any other (`fit`, `evaluate`, `save`, ...).

    Args:
        inputs: the symbolic inputs, integers.
        logits: the symbolic output, floats, (B, T, V).
        tokenizer: one of `data.tokenizer`, of the tokens that are predicted. It is saved with the
            model.
        context_length: the longest text that the model reads, in tokens. A positive integer.
        provenance: where the model comes from (corpus, versions, settings), any dict that JSON
            can hold. It is saved with the model. Default None: an empty dict.
        name: Keras's name for the model. Default None: made by Keras.

    Attributes:
        extra_tokens: what the tokenizer must have beside its pieces.

    Raises:
        ValueError: a `context_length` that is no positive integer.
    """

    extra_tokens: tuple[str, ...] = ()

    def __init__(
        self,
        inputs,
        logits,
        tokenizer: Tokenizer,
        context_length: int,
        provenance: dict | None = None,
        name: str | None = None,
    ):
        check_positive_integers(context_length=context_length)
        super().__init__(inputs=inputs, outputs=logits, name=name)
        self.tokenizer = tokenizer
        self.context_length = context_length
        self.provenance = dict(provenance or {})

    def _get_metrics_result_or_logs(self, logs):
        # Keras computes the metrics' results anew, which the last step gave as its logs.
        return logs

    def compile_from_config(self, config):
        """As Keras does; but whether XLA compiles depends on the backend too (`compiles`).

        Keras would put `torch.compile` in its place.
        """
        super().compile_from_config({**config, "jit_compile": compiles(config["jit_compile"])})

    def translate(self, *_, **__):
        """Only asked of an encoder-decoder: see `EncoderDecoderModel.translate`."""
        raise ValueError(
            "`translate` needs an encoder-decoder, trained on pairs. "
            f"Received: a model {self.name}."
        )

    def fill(self, *_, **__):
        """Only asked of a masked model: see `MaskedLanguageModel.fill`."""
        raise ValueError(
            "`fill` needs a masked model, whose vocabulary has [MASK]. "
            f"Received: a model {self.name}."
        )

    def get_config(self):
        return {
            "name": self.name,
            "tokenizer": keras.saving.serialize_keras_object(self.tokenizer),
            "context_length": self.context_length,
            "provenance": self.provenance,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for key in ("tokenizer", "source_tokenizer", "dtype"):
            if key in config:
                config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)
