"""`<unk>` replaced by the source word that had most attention (Jean et al. 2015; Luong et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence

from s2s.text.characters import Characters
from s2s.text.extended import Extended
from s2s.text.tags import Tagged
from s2s.text.tokenizer import Tokenizer
from s2s.text.vocab import SPECIALS, UNK
from s2s.text.words import JOINER, Words, tokens_of


def replaced(tokens: Sequence[int], alignment: Sequence[int], target: Extended, source: Tokenizer, text: str) -> str:
    """The text of `tokens` with source words for its unknown ones.

    Args:
        alignment: source position of each token.
        text: the source; tokens that its vocabulary does not know have their own spelling only there.
    """
    words = surfaces(source, text)
    found = [words[place] for token, place in zip(tokens, alignment, strict=True) if token == UNK]
    parts = target.decode(tokens).split(SPECIALS[UNK])
    if len(parts) != len(found) + 1:  # the model spelt out the very mark, letter by letter
        return SPECIALS[UNK].join(parts)
    return "".join(part + word for part, word in zip(parts, [*found, ""], strict=True))


def surfaces(tokenizer: Tokenizer, text: str) -> list[str]:
    """How each token of `tokenizer.encode(text)` stands in the text; pieces of SentencePiece as they are printed."""
    if isinstance(tokenizer, Tagged):
        return ["", *surfaces(tokenizer.base, text)]
    if isinstance(tokenizer, Characters):
        return list(text.lower() if tokenizer.lowercase else text)
    if isinstance(tokenizer, Words):
        return [token.strip(JOINER) for chunk in text.split() for token in tokens_of(chunk, tokenizer.kind)]
    return tokenizer.pieces(tokenizer.encode(text))
