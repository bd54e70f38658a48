"""Towers of encoders that were trained before: taken from a checkpoint, and frozen or trained on."""

from __future__ import annotations

from omni.checkpoint import load_model
from omni.model import OmniTransformer
from omni.nn.encoders.config import KEY, EncodersConfig
from omni.tokenizers.bundle import AUDIO_FOLDER, IMAGE_FILE, Tokenizers

INPUTS = {"image": IMAGE_FILE, "audio": f"{AUDIO_FOLDER}/"}
"""How the tokenizer files begin that say what a tower reads."""


def take_towers(model: OmniTransformer, tokenizers: Tokenizers, path: str) -> None:
    """Give ``model`` the towers of a checkpoint (or exported folder), one for each that it has.

    Raises:
        ValueError: one of the models has no encoders, a tower is missing or of another size there, or what it was
            trained to read was made by other tokenizers; the message names ``path`` and the setting.
    """
    source, others = load_model(path)
    if model.encoders is None or source.encoders is None:
        who = "this run" if model.encoders is None else path
        raise ValueError(
            f"model.towers_from {path}: {who} has no encoders; set {KEY}image.layers or {KEY}audio.layers"
        )
    found = source.encoders.towers
    for name, tower in model.encoders.towers.items():
        mine, theirs = (getattr(one.config.encoders, name) for one in (model, source))
        if name not in found:
            raise ValueError(
                f"model.towers_from {path}: no encoder of {name} there; it has {', '.join(found)}"
            )
        wrong = {key for key in vars(mine) if key != "frozen" and getattr(mine, key) != getattr(theirs, key)}
        if wrong:
            said = ", ".join(
                f"{key} {getattr(theirs, key)} there, {getattr(mine, key)} here" for key in sorted(wrong)
            )
            raise ValueError(f"model.towers_from {path}: {KEY}{name} differs: {said}")
        if _inputs(tokenizers, name) != _inputs(others, name):
            raise ValueError(f"model.towers_from {path}: its {name} tokenizer isn't that of data.tokenizers")
        tower.load_state_dict(found[name].state_dict())


def _inputs(tokenizers: Tokenizers, name: str) -> dict[str, bytes]:
    return {file: data for file, data in tokenizers.files().items() if file.startswith(INPUTS[name])}


def require_learnt(config: EncodersConfig, init_from: str | None, towers_from: str | None) -> None:
    """
    Raises:
        ValueError: frozen towers that nothing was loaded into: they would stay as they were drawn.
    """
    if config.frozen and init_from is None and towers_from is None:
        raise ValueError(
            f"{KEY}{config.frozen[0]}.frozen is true, but nothing is loaded into it: name a checkpoint with trained "
            f"towers in model.towers_from (or model.init_from)"
        )
