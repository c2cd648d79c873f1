"""The words of a text as they are searched: without case, accents and ligatures, in any script."""

import re
import unicodedata

LONGEST = 64
"""Of a word its first characters count."""
_word = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]|[^\W_]+")
"""A run of letters and digits; of scripts that part no words each sign for itself."""
_letters = str.maketrans({
    "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ħ": "h", "ŧ": "t", "ı": "i", "ŋ": "n",
})  # fmt: skip
"""Letters that Unicode does not take apart, as a keyboard without them writes them."""


def words_of(text: str) -> list[str]:
    """The distinct words of a text, folded, in the order in which they come: `Été à Genève` is `ete`, `a`, `geneve`."""
    # Case is folded once more, for what it leaves in letters that are composed: the dotted I of Turkish.
    apart = unicodedata.normalize("NFKD", text.casefold()).casefold()
    plain = "".join(letter for letter in apart if not unicodedata.category(letter).startswith("M"))
    return list(dict.fromkeys(word[:LONGEST] for word in _word.findall(plain.translate(_letters))))
