"""``omni shards show``: documents in the terminal, or on a page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from omni.cli.shards.printing import add_figures_option, figures_to, progress_over

if TYPE_CHECKING:
    from omni.cli.shards.page import DocumentView, PackingView
    from omni.datamodules.shards.reader import ShardReader
    from omni.layout import Layout

SHOWN_ROWS = 12


def add_show(actions: argparse._SubParsersAction) -> None:
    """Add ``show``."""
    show = actions.add_parser(
        "show",
        help="print documents, or write a page of them",
        description="With --html, one page with their pictures and sounds, which needs no other file. With tokenizers "
        "it also shows how they become positions, and how they are packed into rows.",
    )
    show.add_argument("folder", metavar="FOLDER", help="folder or URL of *.tar and their indexes")
    show.add_argument("--first", type=int, default=3, metavar="N", help="the first N documents (default 3)")
    show.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="KEY",
        help="the document with this key instead; may be given several times",
    )
    show.add_argument("--html", type=Path, metavar="FILE", help="write a page to this file")
    show.add_argument("--tokenizers", type=Path, metavar="DIR", help="folder of a model's tokenizers")
    show.add_argument(
        "--row-length", type=int, default=2048, metavar="S", help="positions of a packed row (default 2048)"
    )
    add_figures_option(show, "also write the documents to this JSON file")
    show.set_defaults(run=run_show)


def run_show(args: argparse.Namespace) -> None:
    """Print documents, one segment a line, or write a page."""
    from omni.datamodules.shards.reader import ShardReader
    from omni.datamodules.shards.show import chosen, document_figures, document_lines

    reader = ShardReader(args.folder)
    numbers = chosen(reader, args.first, args.key)
    with figures_to(args.json) as write:
        if args.json is not None:
            write([document_figures(reader[number]) for number in numbers])
        if args.html is not None:
            _write_page(args, reader, numbers)
            print(f"{args.html}: {len(numbers)} of {len(reader)} documents")
            return
        for number in numbers:
            print("\n".join(document_lines(reader[number])), end="\n\n")
        print(f"{len(numbers)} of {len(reader)} documents")


def _write_page(args: argparse.Namespace, reader: ShardReader, numbers: list[int]) -> None:
    from omni.cli.shards.page import render_page
    from omni.datamodules.shards.parallel import layout_of_folder

    layout = layout_of_folder(args.tokenizers) if args.tokenizers is not None else None
    with progress_over(f"Showing {args.folder}", len(numbers)) as report:
        documents = []
        for number in numbers:
            documents.append(_view(reader, number, layout))
            report()
    why_not = (
        "" if layout is not None else "--tokenizers DIR shows the positions, too, and how they are packed."
    )
    packing = _packing(reader, numbers, layout, args.row_length) if layout is not None else None
    args.html.parent.mkdir(parents=True, exist_ok=True)
    page = render_page(str(args.folder), documents, len(reader), packing, why_not)
    args.html.write_text(page, encoding="utf-8")


def _view(reader: ShardReader, number: int, layout: Layout | None) -> DocumentView:
    from omni.cli.shards.page import DocumentView, document_view
    from omni.datamodules.shards.positions import positions_of
    from omni.datamodules.shards.show import shown

    shard, key = reader.place(number)
    try:
        document = shown(reader, number)
        return document_view(document, positions_of(document.document, layout) if layout else None)
    except ValueError as error:
        return DocumentView(key, f"{shard}[{key}]", error=str(error))


def _packing(reader: ShardReader, numbers: list[int], layout: Layout, row_length: int) -> PackingView | None:
    """The first rows of the folder where it is measured for this layout, else of the documents shown."""
    from omni.cli.shards.page import PackingView, PieceView, RowView
    from omni.datamodules.shards.first_rows import first_rows
    from omni.modality import MODALITIES

    rows, note = first_rows(reader, numbers, layout, row_length, SHOWN_ROWS)
    views = []
    for row in rows:
        pieces = [
            PieceView(
                *(one.key, one.source, one.length, 100 * one.length / row_length),
                [
                    (modality.name, 100 * count / sum(one.positions))
                    for modality, count in zip(MODALITIES, one.positions, strict=True)
                    if count
                ],
            )
            for one in row
        ]
        views.append(RowView(pieces, sum(piece.share for piece in pieces)))
    return PackingView(row_length, views, note) if views else None
