"""The place of a run, counted in batches: carried over to a run whose steps have another number of batches.

Lightning counts the batches of one rank: for the end of a step, validation and the end of training. How many a
step has depends on ranks, ``data.batch_rows`` and accumulation; the rows of a step don't.
"""

from __future__ import annotations

from typing import Any


def count_anew(checkpoint: dict[str, Any], batches_per_step: int) -> None:
    """Rewrite the counters of a Lightning checkpoint, in place, for steps of ``batches_per_step`` batches.

    The gradients of a step that was begun are in no checkpoint, so such a step is counted, and then done, from its
    first batch. Does nothing where the data keep no place of their own (no ``PlannedLoader``).

    Raises:
        ValueError: the checkpoint was saved while a batch was worked on: its data are ahead of its weights.
    """
    fit_loop = checkpoint["loops"]["fit_loop"]
    loaders = fit_loop["state_dict"].get("combined_loader", [])
    if len(loaders) != 1 or "batches_per_step" not in loaders[0]:
        return
    (data,) = loaders
    progress = fit_loop["epoch_loop.batch_progress"]
    before, begun = data["batches_per_step"], data["batch"]
    given, trained = data["step"] * before + begun, progress["current"]["processed"]
    if given != trained:
        raise ValueError(
            f"the checkpoint was saved inside a batch: {given} were read, {trained} trained on, {before} a step. "
            f"Resume from one that was saved after a whole step"
        )
    for count in (progress["total"], progress["current"]):
        whole = (count["processed"] - begun) // before * batches_per_step
        # where a step was begun: as if saved right behind the last batch of the step before
        behind = {"completed": 1} if begun else {name: count["processed"] - count[name] for name in count}
        count.update({name: whole - behind.get(name, 0) for name in count})
    if begun:
        progress["is_last_batch"] = False
        fit_loop["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1
    data.update(batch=0, batches_per_step=batches_per_step)
