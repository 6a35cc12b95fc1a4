"""The model of dialogues that a configuration describes."""

from __future__ import annotations

from s2s.build.model import build_decoder, build_embedding, build_stack, initialise_all
from s2s.config import Model, Training
from s2s.errors import UserError
from s2s.models import HRED, Bridge, Encoder, LatentVariable


def build_dialogue_model(model: Model, *, vocabulary: int, bag: bool = False) -> HRED:
    """A freshly initialised HRED, or VHRED; `bag`: with the layer of `training.bag_of_words`.

    Raises:
        UserError: the sizes don't fit each other (with the keys to change).
    """
    encoder_side, context_side = model.side("encoder"), model.side("context")
    embedding = build_embedding(encoder_side.model_copy(update={"word_dropout": 0.0}), vocabulary)
    encoder = Encoder(embedding, build_stack(model, encoder_side, embedding.size))
    context = build_stack(model, context_side, encoder.output_size)
    latent = None
    if model.kind == "vhred":
        latent = LatentVariable(context.output_size, encoder.output_size, size=model.latent_size)
    given_size = context.output_size + (latent.size if latent else 0)
    context_size = given_size if model.conditioning == "every" else 0
    decoder = build_decoder(model, vocabulary, context_size=context_size, value_size=encoder.output_size)
    if model.tie == "all":
        encoder.embedding.table = decoder.embedding.table
    tied = model.tie != "none"
    try:
        bridge = Bridge(model.bridge, [given_size], decoder.stack.seed_sizes)
        whole = HRED(encoder, context, bridge, decoder, vocabulary=vocabulary, tied=tied, latent=latent, bag=bag)
    except ValueError as error:
        raise UserError(f"{error}: change model.bridge, model.tie, model.readout or the sizes") from None
    tables = [encoder.embedding.table, decoder.embedding.table]
    initialise_all(model, whole, tables, [encoder_side.core, context_side.core, model.side("decoder").core])
    return whole


def kl_weight(training: Training, update: int) -> float:
    """Of the divergence at this update: from zero to one over `training.kl_warmup` updates. It depends on the update
    alone, so a resumed run goes on with it; an evaluation takes 1."""
    return min(1.0, update / training.kl_warmup) if training.kl_warmup else 1.0
