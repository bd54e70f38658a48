"""Ask a running `omni serve` with OpenAI's own client: read a chart, draw, speak, listen, and stream.

    omni serve runs/demo/checkpoints/last.ckpt &
    pip install openai matplotlib
    python examples/serve_client.py

Time: seconds. Writes drawn.png and said.wav into the current folder.
"""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

from matplotlib.figure import Figure
from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("OMNI_URL", "http://127.0.0.1:8000/v1"),
    api_key=os.environ.get("OMNI_API_KEY", "unused"),
)
model = client.models.list().data[0].id


def chart() -> str:
    """A falling line as a data: URL."""
    figure = Figure(figsize=(6.4, 4.8))
    figure.add_subplot().plot([9, 8, 8, 6, 5, 3, 3, 2, 1])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


response = client.chat.completions.create(
    model=model,
    messages=[
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Describe the trend in this chart."},
                {"type": "image_url", "image_url": {"url": chart()}},
            ],
        }
    ],
    max_tokens=500,
)
print("the chart:", response.choices[0].message.content)

drawn = client.images.generate(model=model, prompt="draw a seven", size="256x256")
Path("drawn.png").write_bytes(base64.b64decode(drawn.data[0].b64_json))
print("drew drawn.png")

said = client.audio.speech.create(model=model, voice="any", input="three", response_format="wav")
said.write_to_file("said.wav")
with Path("said.wav").open("rb") as clip:
    heard = client.audio.transcriptions.create(model=model, file=clip)
print("said three, heard", heard.text)

spoken = client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": "say four"}],
    modalities=["text", "audio"],
    audio={"format": "wav", "voice": "any"},
)
print("answered aloud:", spoken.choices[0].message.audio.transcript)

stream = client.chat.completions.create(
    model=model, messages=[{"role": "user", "content": "what is two plus five?"}], stream=True
)
print("streamed: ", end="")
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="|", flush=True)
print()
