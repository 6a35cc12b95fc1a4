"""Scores of given pairs against the search and one pair at a time; alignments against the attention itself."""

from __future__ import annotations

import math

import pytest
import torch
from test_translator import SOURCE, TEXTS, made

from s2s.corpus.formats import Pair
from s2s.models.decoder import WEIGHTS, Decoder
from s2s.passages import Wish, align_passages, translate_passages
from s2s.scoring import LARGEST, align_pairs, perplexity, pharaoh, score_pairs
from s2s.text.sentences import Piece
from s2s.text.vocab import EOS
from s2s.translator import Constraints, Translator


@pytest.mark.parametrize("preset", ["joey", "bahdanau", "luong", None])
@pytest.mark.parametrize("reverse", [False, True])
def test_what_the_search_wrote_has_the_score_that_the_search_gave(preset: str | None, reverse: bool) -> None:
    translator = made(preset, reverse=reverse)
    with torch.no_grad():
        translator.model.output.bias[EOS] += 3.0  # so that some answers end
    compared = 0
    for text, answers in zip(TEXTS, translator.translate(TEXTS, beam=8, n_best=8), strict=True):
        written = [found for found in answers if found.finished and found.text]
        scores = score_pairs(translator, [Pair(text, found.text) for found in written])
        for found, score in zip(written, scores, strict=True):
            assert score is not None
            assert score.log_probability == pytest.approx(found.log_probability, abs=1e-4)
            assert score.tokens == [*found.text, "</s>"]
            assert len(score.token_scores) == len(score.tokens)
            assert score.perplexity == pytest.approx(math.exp(-score.per_token))
            compared += 1
    assert compared > 5


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_pairs_do_not_depend_on_the_company_and_keep_their_places(batch_size: int) -> None:
    translator = made()
    pairs = [Pair(text, TEXTS[-1 - row]) for row, text in enumerate(TEXTS)]
    together = score_pairs(translator, pairs, batch_size=batch_size)
    for pair, score in zip(pairs, together, strict=True):
        (alone,) = score_pairs(translator, [pair])
        assert (score is None) == (not pair.source.strip() or not pair.target.strip()) == (alone is None)
        if score is not None and alone is not None:
            assert score.token_scores == pytest.approx(alone.token_scores, abs=1e-5)
    assert score_pairs(translator, []) == []


def test_all_answers_together_have_probability_one_at_most() -> None:
    translator = made()
    letters = [*"vwxyz", "vv", "vw", "zz"]
    scores = score_pairs(translator, [Pair("abc", letter) for letter in letters])
    assert 0 < sum(math.exp(score.log_probability) for score in scores if score is not None) < 1


def test_an_endless_pair_is_scored_but_not_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores need no attention weights of a whole pair at once, alignments do."""
    side = "a" * (math.isqrt(LARGEST) + 1)
    seen = []
    attend = Decoder._attend
    monkeypatch.setattr(Decoder, "_attend", lambda *parts: seen.append(attend(*parts)) or seen[-1])
    [score] = score_pairs(made(), [Pair(side, side.replace("a", "v"))])
    assert score is not None
    assert len(score.tokens) == len(side) + 1
    assert max(weights.numel() for _, weights, _ in seen) <= WEIGHTS
    assert align_pairs(made(), [Pair(side, side)]) == [[]]


def test_a_hopeless_pair_has_no_finite_perplexity() -> None:
    assert perplexity(-1e6) == math.inf
    assert perplexity(0.0) == 1.0


def test_several_models_average_their_probabilities() -> None:
    one, two = made("joey"), made("luong", reverse=True)
    pair = Pair("abc", "vw")
    own = [score_pairs(model, [pair])[0] for model in (one, two)]
    (both,) = score_pairs(Translator.ensemble([one, two]), [pair])
    assert both is not None
    for number, found in enumerate(both.token_scores):
        mean = sum(math.exp(score.token_scores[number]) for score in own if score is not None) / 2
        assert math.exp(found) == pytest.approx(mean)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("preset", ["joey", "bahdanau", "luong"])
def test_alignments_follow_the_largest_weight(preset: str, reverse: bool) -> None:
    translator = made(preset, reverse=reverse)
    pairs = [Pair("ab cd efgh", "vwxyz"), Pair("", "v"), Pair("a", "vv"), Pair("abcd  ef g", "zzv")]
    found = align_pairs(translator, pairs)
    assert found[1:3] == [[], [(0, 0)]]
    for pair, links in zip((pairs[0], pairs[3]), (found[0], found[3]), strict=True):
        alignment = translator.align(*pair)
        assert alignment is not None
        weights = torch.tensor(alignment.weights)[: len(pair.target)]
        words = [len(pair.source[:place].split()) - 1 for place in range(1, len(pair.source) + 1)]
        letters = [place for place, letter in enumerate(pair.source) if not letter.isspace()]
        best = max(letters, key=lambda place: float(weights[:, place].max()))
        assert links == [(words[best], 0)]  # these targets are one word each


def test_no_attention_no_alignment() -> None:
    with pytest.raises(ValueError, match="no attention"):
        align_pairs(made(None), [Pair("a", "v")])


def test_pharaoh() -> None:
    assert pharaoh([(0, 0), (2, 1)]) == "0-0 2-1"
    assert pharaoh([]) == ""


class TestPassages:
    def test_pieces_are_translated_alone_and_joined_with_their_gaps(self) -> None:
        translator = made()
        (passage,) = translate_passages(translator, ["abc. Abcd.  E。f"], Wish(n_best=2, split="always"))
        assert [piece.text for piece in passage.pieces] == ["abc.", "Abcd.", "E。", "f"]
        alone = translator.translate([piece.text for piece in passage.pieces], n_best=2)
        first, second = passage.joined()
        assert first.text == "{} {}  {} {}".format(*(found[0].text for found in alone))
        assert second.score == pytest.approx(sum(found[1].score for found in alone))
        assert first.log_probability == pytest.approx(sum(found[0].log_probability for found in alone))

    @pytest.mark.parametrize("split", ["auto", "never"])
    def test_short_texts_are_left_as_they_are(self, split: str) -> None:
        translator = made()
        found = translate_passages(translator, TEXTS, Wish(split=split))  # type: ignore[arg-type]
        assert [list(one.pieces) for one in found] == [[Piece(text, "")] for text in TEXTS]
        assert [one.joined() for one in found] == translator.translate(TEXTS)

    def test_auto_cuts_what_is_too_long_and_at_line_breaks(self) -> None:
        translator = made()
        translator.config = translator.config.model_copy(
            update={"data": translator.config.data.model_copy(update={"max_source": 6})}
        )
        found = translate_passages(translator, ["abc abc", "abcabc", "a\n\nb", "abcd" * 4, " \n "], Wish())
        assert [[piece.text for piece in one.pieces] for one in found] == [
            ["abc", "abc"],
            ["abcabc"],
            ["a", "b"],
            ["abcda", "bcdab", "cdabc", "d"],
            [" \n "],
        ]
        assert found[-1].joined()[0].text == ""
        lengths = [len(SOURCE.encode(piece.text)) for one in found[:4] for piece in one.pieces]
        assert max(lengths) <= 6

    def test_pieces_and_their_places_count_through_the_text(self) -> None:
        translator = made()
        wish = Wish(split="always", token_scores=True, alignments=True)
        (passage,) = translate_passages(translator, ["abc. Abcd.  E。f"], wish)
        (found,) = passage.joined()
        assert found.pieces is not None
        assert found.alignment is not None
        assert found.token_scores is not None
        own = [answers[0] for answers in passage.answers]
        assert found.pieces == [piece for one in own for piece in one.pieces or []]
        starts = [0, 5, 12, 14]  # of each piece in the text, which is one token a character
        assert found.alignment == [
            start + place for start, one in zip(starts, own, strict=True) for place in one.alignment or []
        ]
        assert sum(found.token_scores) == pytest.approx(found.log_probability, abs=1e-4)

    def test_what_is_asked_of_one_text_holds_for_the_whole_of_it(self) -> None:
        texts, own = ["abc. Abcd.  E", "abc. Abcd.  E"], [Constraints(), Constraints(prefix="vw")]
        cut, whole = translate_passages(made(), texts, Wish(split="always"), constraints=own)
        assert len(cut.pieces) > 1
        assert [piece.text for piece in whole.pieces] == texts[1:]
        assert whole.joined()[0].text.startswith("vw")

    def test_links_count_words_through_the_text(self) -> None:
        translator = made()
        (passage,) = translate_passages(translator, ["aa bb。cc dd! Ee"], Wish(split="always"))
        (links,) = align_passages(translator, [passage])
        words = "".join(found[0].text + " " for found in passage.answers).split()
        assert {target for _, target in links} <= set(range(len(words)))
        sources = {target: source for source, target in links}
        own = align_pairs(translator, [Pair("Ee", passage.answers[2][0].text)])[0]
        assert sources[len(words) - 1] == 3 + own[-1][0]


def test_every_source_word_has_a_link_where_asked() -> None:
    translator, pair = made("joey"), Pair("a b cd e f g h", "xy zv")
    (usual,), (both,) = (align_pairs(translator, [pair], every_source=every) for every in (False, True))
    assert len(usual) == 2
    assert set(usual) < set(both)
    assert {source for source, _ in both} == set(range(7))
