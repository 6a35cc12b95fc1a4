"""Language tags: reserved in every vocabulary, in front of a source, and made by no text."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.errors import UserError
from s2s.text.spans import word_of_each_token
from s2s.text.subwords import Subwords
from s2s.text.tags import Tagged, tag, tags_of
from s2s.text.tokenizer import Kind, Tokenizer, load_tokenizer, train_tokenizer
from s2s.text.vocab import SPECIALS

LANGUAGES = ("en", "pt_BR", "zh-Hans")
TEXTS = ["<2en> a sentence, <2en>!", "<2pt_BR>more text <2en> <2en>", "the last one <2zh-Hans>"] * 30
KINDS: tuple[Kind, ...] = get_args(Kind)


def trained(kind: Kind, *, lowercase: bool = False) -> Tokenizer:
    reserved = [tag(language) for language in LANGUAGES]
    return train_tokenizer(kind, TEXTS, vocab_size=60, reserved=reserved, lowercase=lowercase)


MADE = {kind: trained(kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
class TestTags:
    def test_they_stand_behind_the_specials(self, kind: Kind) -> None:
        vocabulary = MADE[kind].vocabulary
        assert tags_of(vocabulary) == {"en": 4, "pt_BR": 5, "zh-Hans": 6}
        assert vocabulary.tokens[:7] == (*SPECIALS, "<2en>", "<2pt_BR>", "<2zh-Hans>")
        assert len(vocabulary) <= 60

    @given(text=st.lists(st.sampled_from(["<2en>", "<2pt_BR>", "<2", "en>", " ", "a", "▁", "￭", "<s>"])).map("".join))
    def test_no_text_makes_one(self, kind: Kind, text: str) -> None:
        assert not {4, 5, 6} & set(MADE[kind].encode(text))

    def test_no_drawn_subwords_make_one(self, kind: Kind) -> None:
        made = MADE[kind]
        if isinstance(made, Subwords):
            drawn = [made.sample_batch(["<2en> <2pt_BR>a"] * 20, strength=0.5, seed=seed) for seed in range(5)]
            assert not {4, 5, 6} & {i for batch in drawn for ids in batch for i in ids}

    @given(text=st.text("<2en> abc", max_size=12))
    def test_it_is_one_token_before_those_of_the_text(self, kind: Kind, text: str) -> None:
        base, tagged = MADE[kind], Tagged(MADE[kind], "pt_BR")
        assert tagged.encode(text) == [5, *base.encode(text)]
        assert tagged.encode_batch([text, ""]) == [tagged.encode(text), [5]]
        assert tagged.decode(tagged.encode(text)) == base.decode(base.encode(text))
        assert tagged.pieces(tagged.encode(text))[0] == "<2pt_BR>"
        assert word_of_each_token(tagged, [text]) == [[None, *word_of_each_token(base, [text])[0]]]

    def test_lower_case_leaves_them_alone(self, kind: Kind) -> None:
        tagged = Tagged(trained(kind, lowercase=True), "pt_BR")
        assert tagged.pieces(tagged.encode("A"))[0] == "<2pt_BR>"

    def test_they_come_back_from_a_file(self, kind: Kind, tmp_path: Path) -> None:
        Tagged(MADE[kind], "en").save(tmp_path, "source")
        loaded = load_tokenizer(tmp_path, "source")
        assert loaded.vocabulary == MADE[kind].vocabulary
        assert Tagged(loaded, "zh-Hans").id == 6

    def test_an_unknown_language_is_refused_with_those_that_are_known(self, kind: Kind) -> None:
        with pytest.raises(UserError, match="'fr': no language of this model; it writes en, pt_BR, zh-Hans"):
            Tagged(MADE[kind], "fr")

    def test_without_reserved_tokens_there_are_none(self, kind: Kind) -> None:
        assert tags_of(train_tokenizer(kind, TEXTS, vocab_size=60).vocabulary) == {}


@pytest.mark.parametrize("code", ["", "d e", "d>", "d,e", "<2en>"])
def test_codes_that_can_be_no_tag(code: str) -> None:
    with pytest.raises(UserError, match="expected a language code"):
        tag(code)
