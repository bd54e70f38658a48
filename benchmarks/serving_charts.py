"""Are line charts of any size and make read rightly by a served checkpoint of the demo?

    omni serve runs/demo/checkpoints/last.ckpt --port 8000 &
    python -m benchmarks.serving_charts --url http://127.0.0.1:8000 --count 20

Charts in the look of the demo's held-out ones, as they are and enlarged, and with matplotlib's own look (thin line,
frame, labelled axes) at several sizes. The question comes first, as OpenAI's documentation has it.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
from matplotlib.figure import Figure
from PIL import Image as PILImage

from omni.datamodules.demo.charts import HELDOUT_START, TRENDS, draw_chart, random_series
from omni.media import encode_png

QUESTION = "Describe the trend in this chart."
SIZES = ((640, 480), (1600, 900), (1200, 400), (400, 800), (300, 300))
"""Width and height of charts in matplotlib's look."""
SEED = 99


def demo_charts(count: int, enlarged: int) -> Iterator[tuple[bytes, str]]:
    """PNG files in the demo's look, and their trends."""
    for index in range(count):
        chart = draw_chart(SEED, HELDOUT_START + index)
        height, width, _ = chart.pixels.shape
        picture = PILImage.fromarray(chart.pixels).resize((width * enlarged, height * enlarged))
        yield encode_png(np.asarray(picture)), chart.trend


def plain_charts(count: int, width: int, height: int) -> Iterator[tuple[bytes, str]]:
    """PNG files in matplotlib's look; a flat series has fixed limits, since others would show its noise."""
    for index in range(count):
        trend = TRENDS[index % len(TRENDS)]
        figure = Figure(figsize=(width / 100, height / 100), dpi=100)
        axes = figure.add_subplot()
        axes.plot(random_series(trend, np.random.default_rng([SEED, index])))
        if trend == "flat" or index % 2:
            axes.set_ylim(0, 1)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        yield buffer.getvalue(), trend


def answer(client: httpx2.Client, model: str, png: bytes) -> str:
    """What the server says of a chart."""
    url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    content = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": url}}]
    body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 500}
    response = client.post("/v1/chat/completions", json=body).raise_for_status()
    return str(response.json()["choices"][0]["message"]["content"])


def main() -> None:
    """Print how many were right."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--count", type=int, default=20, help="charts of each kind")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    kinds = {f"demo's look, x {n}": demo_charts(args.count, n) for n in (1, 5)}
    kinds |= {f"plain, {w} x {h}": plain_charts(args.count, w, h) for w, h in SIZES}
    right: dict[str, int] = {}
    with httpx2.Client(base_url=args.url, timeout=120, trust_env=False) as client:
        for kind, charts in kinds.items():
            right[kind] = sum(answer(client, args.model, png) == trend for png, trend in charts)
            print(f"{kind:20} {right[kind]} of {args.count}", flush=True)
    if args.json is not None:
        args.json.write_text(json.dumps(right, indent=1))


if __name__ == "__main__":
    main()
