"""The sampling settings of a request as command line options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

from docstring_parser import parse_from_object

from omni.inference.options import SamplingOptions


def _grid(value: str) -> tuple[int, int]:
    rows, _, cols = value.partition("x")
    if not (rows.isdigit() and cols.isdigit()):
        raise argparse.ArgumentTypeError(f"{value!r}: expected ROWSxCOLS, such as 4x6")
    return int(rows), int(cols)


def _bias(value: str) -> tuple[int, float]:
    token, _, bias = value.partition("=")
    try:
        return int(token), float(bias)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{value!r}: expected TOKEN=BIAS, such as 17=-5") from error


SPECIAL: dict[str, dict[str, Any]] = {
    "grid": {"type": _grid, "metavar": "ROWSxCOLS"},
    "stop": {"action": "append", "metavar": "TEXT"},
    "logit_bias": {"action": "append", "type": _bias, "metavar": "TOKEN=BIAS"},
    "logprobs": {"action": "store_true"},
}
"""Options that are more than a number; those that append can be given several times."""
MADE_BY: dict[str, Callable[[Any], Any]] = {"stop": tuple, "logit_bias": dict}
"""How what an option collected becomes its setting."""


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    """Add one option for each field, in a group of their own."""
    sampling = parser.add_argument_group("sampling")
    meanings = {found.arg_name: found.description for found in parse_from_object(SamplingOptions).params}
    for option in fields(SamplingOptions):
        name, meaning = "--" + option.name.replace("_", "-"), str(meanings[option.name]).replace("%", "%%")
        if option.name in SPECIAL:
            sampling.add_argument(name, help=meaning, **SPECIAL[option.name])
            continue
        assert option.default is not MISSING, option.name
        help_ = f"{meaning} Default {option.default}."
        sampling.add_argument(name, type=type(option.default), default=option.default, help=help_)


def sampling_options_of(args: argparse.Namespace) -> SamplingOptions:
    """What the options say.

    Raises:
        ValueError: a setting out of range.
    """
    given = {option.name: getattr(args, option.name) for option in fields(SamplingOptions)}
    made = {name: MADE_BY[name](value or ()) if name in MADE_BY else value for name, value in given.items()}
    return SamplingOptions(**made)
