"""What a model can learn from a text, by the name that its class gives as `objective`."""

from data.masked import MaskedTexts
from data.pairs import Pairs
from data.prefixes import Prefixes
from data.windows import Windows

OBJECTIVES = {"prefixes": Prefixes, "windows": Windows, "pairs": Pairs, "masked": MaskedTexts}
