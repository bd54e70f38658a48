"""Names of the demo's stages, in order."""

STAGES = ("data", "tokenizers", "pretrain", "evaluate", "report")
