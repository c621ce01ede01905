"""What every language model of the zoo is: a functional model that carries its tokenizer."""

import keras

from data.tokenizer import Tokenizer
from layers.checks import check_positive_integers
from models.generation import Generation
from models.inspection import Inspection
from models.prompts import Prompts
from models.saving import AtomicSaving
from models.token_generator import TokenGenerator
from models.xla import has_xla


class LanguageModel(Inspection, Generation, AtomicSaving, keras.Model):
    """A functional Keras model from token ids to logits that carries its tokenizer.

    A subclass builds the graph of its layers and hands it to this constructor. What comes out is
    a `keras.Model` as any other (`fit`, `evaluate`, `save`, ...) with the methods below.

    Args:
        token_ids: the symbolic input, integers, (B, T).
        logits: the symbolic output, floats, (B, T, V).
        attention_scores: for each layer the symbolic scores, (B, N, T, T).
        tokenizer: one of `data.tokenizer`. It is saved with the model.
        context_length: the longest text that the model reads, in tokens. A positive integer.
        provenance: where the model comes from (corpus, versions, settings), any dict that JSON
            can hold. It is saved with the model. Default None: an empty dict.
        name: Keras's name for the model. Default None: made by Keras.

    Raises:
        ValueError: a `context_length` that is no positive integer.
    """

    def __init__(
        self,
        token_ids,
        logits,
        attention_scores,
        tokenizer: Tokenizer,
        context_length: int,
        provenance: dict | None = None,
        name: str | None = None,
    ):
        check_positive_integers(context_length=context_length)
        super().__init__(inputs=token_ids, outputs=logits, name=name)
        self.tokenizer = tokenizer
        self.context_length = context_length
        self.provenance = dict(provenance or {})
        self.prompts = Prompts(tokenizer, context_length)
        self._generator = TokenGenerator(self)
        self._open_for_inspection(token_ids, logits, attention_scores)

    def compile_from_config(self, config):
        """As Keras does; but a model that was compiled with XLA does without where there is none.

        Keras would put `torch.compile` in its place.
        """
        super().compile_from_config({**config, "jit_compile": config["jit_compile"] and has_xla()})

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
        for key in ("tokenizer", "dtype"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)
