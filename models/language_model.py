"""What every language model of the zoo is: a model of one text that is asked and looked into."""

from data.tokenizer import Tokenizer
from models.beam_search import BeamSearch
from models.generation import Generation
from models.inspection import Inspection
from models.prompts import Prompts
from models.token_generator import TokenGenerator
from models.zoo_model import ZooModel


class LanguageModel(Inspection, Generation, ZooModel):
    """A `ZooModel` from the tokens of a text to logits, with the methods below.

    Args:
        token_ids: the symbolic input, integers, (B, T).
        logits: the symbolic output, floats, (B, T, V).
        attention_scores: for each layer the symbolic scores, (B, N, T, T).
        tokenizer, context_length, provenance, name: those of `ZooModel`.

    Raises:
        ValueError: as `ZooModel`.
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
        super().__init__(token_ids, logits, tokenizer, context_length, provenance, name)
        self.prompts = Prompts(tokenizer, context_length)
        self._generator = TokenGenerator(self)
        self._beam_search = BeamSearch(self)
        self._open_for_inspection(token_ids, logits, attention_scores)
