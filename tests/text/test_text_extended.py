from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.text.characters import Characters
from s2s.text.extended import Extended
from s2s.text.subwords import Subwords
from s2s.text.tags import Tagged, tag
from s2s.text.tokenizer import Tokenizer
from s2s.text.vocab import EOS, UNK
from s2s.text.words import Words

WORDS = Words.train(["the man sees ."])
CHARACTERS = Characters.train(["abc "])
V = len(WORDS.vocabulary)


def test_unknown_words_of_the_source_are_numbered_as_they_come() -> None:
    own = Extended.of(WORDS, "Zaphod sees the Vogon Zaphod")
    sees, the = WORDS.encode("sees the")
    assert own.encode("Zaphod sees the Vogon Zaphod") == [V, sees, the, V + 1, V]
    assert own.encode("the Vogon sees Marvin") == [the, V + 1, sees, UNK]
    assert own.decode([V + 1, sees, V]) == "Vogon sees Zaphod"
    assert own.pieces([V + 1, sees, UNK, EOS]) == ["Vogon", "sees", "<unk>", "</s>"]
    assert own.decode([V, EOS, V + 1]) == "Zaphod"


def test_signs_keep_their_joiners() -> None:
    text = "the man (Zaphod) sees it!"
    own = Extended.of(WORDS, text)
    assert UNK not in own.encode(text)
    assert own.decode(own.encode(text)) == text


def test_between_spaces_signs_are_part_of_the_word() -> None:
    own = Extended.of(Words.train(["the man sees ."], kind="spaces"), "the Vogon's <s>")
    assert own.encode("the Vogon's <s>") == [own.tokenizer.encode("the")[0], V, V + 1]
    assert own.decode(own.encode("<s> the Vogon's")) == "<s> the Vogon's"


def test_a_source_of_known_words_changes_nothing() -> None:
    own = Extended.of(WORDS, "the man")
    assert not own.own
    assert own.encode("the Vogon") == WORDS.encode("the Vogon")
    assert own.decode([4, UNK]) == WORDS.decode([4, UNK])


def test_lower_case_tokenizers_spell_in_lower_case() -> None:
    tokenizer = Words.train(["the man"], lowercase=True)
    own = Extended.of(tokenizer, "The VOGON")
    assert own.decode(own.encode("vogon the Vogon")) == "vogon the vogon"


def test_a_tag_stays_in_front() -> None:
    tokenizer = Words.train(["the man sees"], reserved=[tag("fr")])
    source = Tagged(tokenizer, "fr")
    own = Extended.of(tokenizer, "the Vogon").own
    assert Extended(source, own).encode("the Vogon") == [source.id, *tokenizer.encode("the"), len(tokenizer.vocabulary)]


def test_sentencepiece_has_no_such_words() -> None:
    tokenizer = Subwords.train("bpe", ["the man sees the man"] * 9, vocab_size=20)
    own = Extended.of(tokenizer, "the 漢 man")
    assert UNK in tokenizer.encode("the 漢 man") == own.encode("the 漢 man")
    assert not own.own


@pytest.mark.parametrize("tokenizer", [WORDS, CHARACTERS], ids=["words", "characters"])
@given(text=st.text(max_size=30))
def test_any_source_can_be_written_again(tokenizer: Tokenizer, text: str) -> None:
    own = Extended.of(tokenizer, text)
    ids = own.encode(text)
    assert len(ids) == len(tokenizer.encode(text))
    assert UNK not in ids
    assert max(ids, default=0) < len(tokenizer.vocabulary) + max(len(ids), 1)
    written = own.decode(ids)
    assert written == text if isinstance(tokenizer, Characters) else written.split() == text.split()
