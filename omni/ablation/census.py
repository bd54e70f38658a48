"""What the training data hold, as far as FLOPs depend on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from omni.ablation.mapping import check_known
from omni.modality import MODALITIES
from omni.planning.workload import Learnt, Mix, Workload


@dataclass(frozen=True, kw_only=True)
class Census:
    """Counted over all training documents."""

    documents: int
    positions: Mapping[str, int]
    """By modality."""
    targets: Mapping[str, int]
    """By modality; the end of a clip is one of audio."""
    squares: int
    """Sum over the documents of their squared lengths."""
    picture: int
    """Patches of the picture that a patch is in, in the mean over the patches."""
    clip: int
    """Frames of the clip that a frame is in, in the mean over the frames."""
    fill: float
    """Share of a row's positions that hold something, once documents are packed."""

    @property
    def total(self) -> int:
        """Positions of all modalities."""
        return sum(self.positions.values())

    @property
    def attended(self) -> int:
        """Length of documents at which attention costs a position as much as in the data: (L + 1) / 2 keys in the
        mean over the positions, not over the documents."""
        return max(1, round(self.squares / self.total))

    def workload(self, row_length: int, rows: int) -> Workload:
        """One step's rows, as the planner takes them."""
        held = {modality.name: self.positions[modality.name] for modality in MODALITIES}
        return Workload(
            length=row_length,
            document=min(row_length, self.attended),
            rows=rows,
            mix=Mix(**{name: count / self.total for name, count in held.items()}),
            # ends of clips are targets, too, so there can be more of them than frames
            learnt=Learnt(
                **{n: min(1.0, self.targets[n] / count) if count else 0.0 for n, count in held.items()}
            ),
            picture=self.picture,
            clip=self.clip,
        )

    def as_json(self) -> dict[str, Any]:
        """As a study's ``data.census`` has it."""
        return asdict(self)


def census_of(values: Mapping[str, Any], where: str) -> Census:
    """The census that a study states.

    Raises:
        ValueError: a field is missing, unknown or no number; the message begins with ``where``.
    """
    names = ("documents", "positions", "targets", "squares", "picture", "clip", "fill")
    check_known(values, names, where)
    if missing := [name for name in names if name not in values]:
        raise ValueError(f"{where}: {', '.join(missing)} missing")
    modalities = [modality.name for modality in MODALITIES]
    for name in ("positions", "targets"):
        part = values[name]
        if not isinstance(part, dict) or sorted(part) != sorted(modalities):
            raise ValueError(f"{where}.{name} must have {', '.join(modalities)}, got {part!r:.80}")
    numbers = [values[name] for name in ("documents", "squares", "picture", "clip", "fill")]
    numbers += [*values["positions"].values(), *values["targets"].values()]
    if not all(isinstance(number, (int, float)) and number >= 0 for number in numbers):
        raise ValueError(f"{where}: all figures must be numbers from 0, got {dict(values)!r:.120}")
    if not 0 < values["fill"] <= 1 or sum(values["positions"].values()) <= 0:
        raise ValueError(f"{where}: fill must be in (0, 1] and positions above 0, got {dict(values)!r:.120}")
    whole = {name: int(values[name]) for name in ("documents", "squares")}
    media = {name: max(1, int(values[name])) for name in ("picture", "clip")}
    return Census(
        positions=values["positions"], targets=values["targets"], fill=float(values["fill"]), **whole, **media
    )
