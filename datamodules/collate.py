"""Rows of sequences to the batch that the model takes."""

from __future__ import annotations

from collections.abc import Sequence as Seq

import numpy as np
import torch

from omni.sequence import PADDING, OmniBatch, Sequence


def collate(
    rows: Seq[Seq[Sequence]],
    row_length: int | None = None,
    targets: Seq[int] | None = None,
    step_positions: int | None = None,
    row_numbers: Seq[int] = (),
) -> OmniBatch:
    """Lay sequences one behind another in rows.

    Args:
        rows: the sequences of each row. A row may have none; where all have none, one sequence of length 0
            says how wide patches and codes are.
        row_length: S; the longest row by default.
        targets: targets of the whole optimizer step by modality; those of these rows by default.
        step_positions: real positions of the whole optimizer step; those of these rows by default.
        row_numbers: number of each row in the whole run.
    """
    used = [sum(map(len, row)) for row in rows]
    length = row_length if row_length is not None else max(used)
    if max(used) > length:
        raise ValueError(f"a row of {max(used)} positions is longer than {length}")
    shape = (len(rows), length)
    modality = np.full(shape, PADDING, dtype=np.uint8)
    text_ids = np.zeros(shape, dtype=np.int64)
    coords = np.zeros((*shape, 3), dtype=np.int64)
    loss = np.zeros(shape, dtype=bool)
    lengths: list[int] = []
    keys: list[str] = []
    for number, row in enumerate(rows):
        start = 0
        for sequence in filter(len, row):
            part = slice(start, start + len(sequence))
            modality[number, part] = sequence.modality
            text_ids[number, part] = sequence.text_ids
            coords[number, part] = sequence.coords
            loss[number, part] = sequence.loss
            loss[number, start] = False  # nothing before it may predict it
            lengths.append(len(sequence))
            keys.append(sequence.key)
            start += len(sequence)
        if start < length:
            lengths.append(length - start)
            keys.append("")
    sequences = [sequence for row in rows for sequence in row]
    counts = (
        targets if targets is not None else np.sum([s.target_counts() for s in sequences], axis=0).tolist()
    )
    return OmniBatch(
        modality=torch.from_numpy(modality),
        text_ids=torch.from_numpy(text_ids),
        coords=torch.from_numpy(coords),
        loss=torch.from_numpy(loss),
        patches=torch.from_numpy(np.concatenate([s.patches for s in sequences])),
        codes=torch.from_numpy(np.concatenate([s.codes for s in sequences])),
        lengths=tuple(lengths),
        targets=torch.tensor(counts, dtype=torch.int64),
        step_positions=step_positions if step_positions is not None else sum(used),
        keys=tuple(keys),
        row_numbers=tuple(row_numbers),
    )
