"""``omni shards import``: make shards of documents in other formats, by the table of formats."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from rich.progress import Progress, TaskID

from omni.cli.shards.places import local_folder
from omni.cli.shards.printing import (
    add_figures_option,
    figures_to,
    print_counts,
    print_errors,
    progress_to,
)
from omni.datamodules.importers.file_formats import FILES
from omni.datamodules.importers.formats import BOTH, FORMATS, Format, Option, directions


def add_import(actions: argparse._SubParsersAction) -> None:
    """Add ``import`` with an action for each format."""
    parser = actions.add_parser("import", help="make shards of documents in another format")
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    for form in FORMATS:
        one = formats.add_parser(form.name, help=form.help, description=form.description)
        one.add_argument("source", type=local_folder, metavar=form.source, help="what is imported")
        one.add_argument(
            "out", type=local_folder, metavar="OUT", help="folder of the shards; shards there are replaced"
        )
        for option in form.options:
            _add_option(one, option)
        if form.media:
            _add_pair_options(one, form)
        _add_common_options(one, form)
        one.set_defaults(run=run_import, form=form)


def _add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    flag = f"--{option.name.replace('_', '-')}"
    if option.flag:
        parser.add_argument(flag, action="store_true", help=option.help)
    else:
        parser.add_argument(
            flag,
            type=option.kind,
            default=option.default,
            choices=option.choices,
            metavar=option.metavar,
            help=option.help,
        )


def _add_pair_options(parser: argparse.ArgumentParser, form: Format) -> None:
    choices = tuple(dict.fromkeys(name for medium in form.media for name in directions(medium)))
    parser.add_argument(
        "--direction",
        choices=choices,
        default=BOTH,
        help="what stands first and what follows; both takes one of them for each document, by its key (default)",
    )
    parser.add_argument(
        "--prompt-for-text",
        metavar="TEXT",
        help="make the text an assistant's answer to picture or clip and this request",
    )
    parser.add_argument(
        "--prompt-for-media",
        metavar="TEXT",
        help="make the picture or clip an assistant's answer to this request and the text",
    )


def _add_common_options(parser: argparse.ArgumentParser, form: Format) -> None:
    name = form.source_name or form.name
    parser.add_argument(
        "--name", default=name, metavar="NAME", help=f"source of the documents (default {name})"
    )
    parser.add_argument(
        "--drop-duplicates",
        action="store_true",
        help="leave out documents whose pictures and clips all stood in earlier ones",
    )
    parser.add_argument(
        "--per-shard", type=int, default=2_000, metavar="N", help="documents a shard (default 2000)"
    )
    parser.add_argument(
        "--max-damaged",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the documents (0 to 1) that may be set aside; with more nothing is written (default 0)",
    )
    cut = (
        "each file of SRC becomes a shard" if form.name in FILES else "every --per-shard rows become a shard"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help=f"processes; with several, {cut} by itself, and a stopped import goes on where it was (default 1)",
    )
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="do so on a Ray cluster: auto, HOST:PORT or local (extra `cluster`)"
    )
    add_figures_option(parser, "also write the counts and what was set aside to this JSON file")


def run_import(args: argparse.Namespace) -> None:
    """Import a source in the format of ``args.form``."""
    with figures_to(args.json) as write:
        if args.ray is not None or args.workers != 1:
            _import_parts(args, write)
        else:
            _import_whole(args, write)


def _import_whole(args: argparse.Namespace, write: Callable[[Any], None]) -> None:
    from rich.console import Console

    from omni.datamodules.importers.duplicates import Duplicates
    from omni.datamodules.importers.rows import SET_ASIDE_FILE
    from omni.datamodules.quarantine import Quarantine
    from omni.datamodules.shards.writer import write_shards

    aside = Quarantine(args.out, args.max_damaged, "--max-damaged", SET_ASIDE_FILE, warn=False)
    duplicates = Duplicates()
    written: dict[str, int] = {}
    try:
        with Progress(transient=True, console=Console(stderr=True)) as progress:
            bar = _Bar(progress, progress.add_task(f"Importing {args.source.name}", total=None))
            documents = args.form.read()(args.source, aside, bar, **reader_options(args))
            if args.drop_duplicates:
                documents = duplicates.dropped(documents)
            written = write_shards(documents, args.out, args.per_shard)
    finally:
        print_errors([line["error"] for line in aside.lines])
        write(_figures(written, duplicates.count, aside.lines))
    dropped = f", {duplicates.count} duplicates left out" if args.drop_duplicates else ""
    print_counts(f"{args.out}: {sum(written.values())} documents written{dropped}", {"source": written})


def _import_parts(args: argparse.Namespace, write: Callable[[Any], None]) -> None:
    from omni.datamodules.importers.parts import import_parts, parts_of
    from omni.datamodules.shards.tasks import Cluster

    if args.drop_duplicates:
        raise ValueError(
            "--drop-duplicates compares each document with all before it: leave out --workers, --ray"
        )
    options = reader_options(args)
    workers = (
        args.workers if args.ray is None else Cluster(args.ray, None if args.workers == 1 else args.workers)
    )
    parts = parts_of(args.form, args.source, args.per_shard, options)
    with progress_to(f"Importing {args.source.name}", len(parts)) as report:
        written = import_parts(
            args.form,
            args.source,
            args.out,
            options,
            per_shard=args.per_shard,
            max_damaged=args.max_damaged,
            workers=workers,
            report=report,
        )
    print_errors([damage.error for damage in written.left_out])
    damaged = [{"shard": one.shard, "key": one.key, "error": one.error} for one in written.left_out]
    write(_figures(written.by_source, 0, damaged))
    print_counts(f"{args.out}: {written.documents} documents written", {"source": written.by_source})


def _figures(by_source: dict[str, int], duplicates: int, damaged: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "documents": sum(by_source.values()),
        "by_source": by_source,
        "duplicates": duplicates,
        "damaged": damaged,
    }


def reader_options(args: argparse.Namespace) -> dict[str, Any]:
    """The keywords of the format's reader."""
    from omni.datamodules.importers.pairs import Pairing

    options = {option.name: getattr(args, option.name) for option in args.form.options}
    if not args.form.media:
        return options | {"name": args.name}
    pairing = Pairing(
        source=args.name,
        direction=args.direction,
        prompt_for_text=args.prompt_for_text,
        prompt_for_media=args.prompt_for_media,
    )
    return options | {"pairing": pairing}


class _Bar:
    """Shows what an importer tells of its progress."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress, self.task = progress, task

    def expect(self, steps: int) -> None:
        self.progress.update(self.task, total=steps)

    def advance(self, steps: int) -> None:
        self.progress.advance(self.task, steps)
