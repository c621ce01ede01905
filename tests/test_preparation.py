"""From a corpus to what is trained on and shown."""

import settings
from data.tokenizer import TOKENIZERS


def test_every_tokenizer_that_can_be_asked_for_is_there():
    assert set(settings.TOKENIZERS) == set(TOKENIZERS)
