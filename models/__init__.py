"""The zoo: every model, by the name that `train.py --model` takes.

Importing this package registers all classes that a saved model is made of, so

    import keras, models
    model = keras.saving.load_model("logs/RUN/best.keras")

is all that loading takes.
"""

import losses  # noqa: F401  registers the loss that saved models were compiled with
import metrics  # noqa: F401  and their metrics
import optimizers  # noqa: F401  and their optimizers
import schedules  # noqa: F401  and their learning rates
from models.decoder import DecoderLanguageModel
from models.encoder import EncoderLanguageModel
from models.encoder_decoder import EncoderDecoderModel
from models.language_model import LanguageModel
from models.masked import MaskedLanguageModel
from models.transformer import TransformerLanguageModel
from models.zoo_model import ZooModel

ZOO = {
    "encoder": EncoderLanguageModel,
    "decoder": DecoderLanguageModel,
    "encoder-decoder": EncoderDecoderModel,
    "masked": MaskedLanguageModel,
}

__all__ = [
    "ZOO",
    "DecoderLanguageModel",
    "EncoderDecoderModel",
    "EncoderLanguageModel",
    "LanguageModel",
    "MaskedLanguageModel",
    "TransformerLanguageModel",
    "ZooModel",
]
