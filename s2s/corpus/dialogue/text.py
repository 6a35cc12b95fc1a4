"""What is done to the texts of a corpus whose card asks for it."""

from __future__ import annotations

import re

from s2s.corpus.dialogue.read import Dialogue

_APOSTROPHE = re.compile(" ?’ ?")


def join_contractions(dialogue: Dialogue) -> Dialogue:
    """`don ’ t` becomes `don't`, in every turn: DailyDialog has both forms (13,980 times the first).

    Each curly apostrophe becomes a straight one without the spaces beside it, closing quotation marks included.
    """
    return tuple(_APOSTROPHE.sub("'", turn) for turn in dialogue)
