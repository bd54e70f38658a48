"""Ask a checkpoint about text, pictures and sound; stream, batch and cut its answers.

    python examples/infer.py runs/demo/checkpoints/last.ckpt --out answers

Time: seconds on a CPU. Result: answers on the terminal, ``answers/*.png`` and ``answers/*.wav``. The picture and the
clip that are asked about are held-out ones that ``omni demo`` leaves in ``runs/demo/samples``.
"""

import argparse
from pathlib import Path

import numpy as np

from omni.evaluation.results import as_text
from omni.inference.batcher import EngineConfig
from omni.inference.engine import Engine
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.inference.request import Finished, Picture, Request, SoundPiece, TextPiece
from omni.media import encode_png, write_wav
from omni.sequence import Audio, Image, Text

parser = argparse.ArgumentParser(description="Every kind of prompt and answer, on one checkpoint.")
parser.add_argument("checkpoint", type=Path)
parser.add_argument("--image", type=Path, default=Path("runs/demo/samples/digit.png"))
parser.add_argument("--audio", type=Path, default=Path("runs/demo/samples/clip.wav"))
parser.add_argument("--out", type=Path, default=Path("answers"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

# --- 1. One call. A checkpoint is all you need: model sizes, tokenizers and audio codec are in it.
omni = Omni.from_checkpoint(args.checkpoint)

# A prompt is a list of segments, an answer too. Files of nearly any kind can be read.
picture, clip = Image.open(args.image), Audio.open(args.audio)
print("picture → text:", as_text(omni.generate([picture, Text("which digit?")], want="text")))
print("speech → text: ", as_text(omni.generate([clip, Text("which digit?")], want="text")))
question = [picture, Text(" plus "), clip, Text(" is")]
print("mixed → text:  ", as_text(omni.generate(question, want="text")))

# Pictures are uint8 (height, width, 3), sound is float32 in [-1, 1] with its sample rate.
(drawn,) = omni.generate([Text("draw a seven")], want="image")
(args.out / "seven.png").write_bytes(encode_png(drawn.pixels))
(said,) = omni.generate([Text("say seven")], want="audio")
write_wav(args.out / "seven.wav", said.waveform, said.sample_rate)

# Without `want` the model chooses the modality; with chat=False it continues a text instead of answering.
print("its own choice:", as_text(omni.generate([Text("draw a seven")])))
sampling = SamplingOptions(temperature=0.8, top_p=0.9, repetition_penalty=1.1, max_text=60, stop=("\n\n",))
print("continued:     ", as_text(omni.generate([Text("The statement")], "text", sampling, chat=False)))

# --- 2. Many prompts at once. Prompt i draws its noise from seed + i, whatever else is in the batch.
prompts = [[Text(f"draw a {digit}")] for digit in ("one", "two", "three")]
drawings = omni.generate_batch(prompts, "image", SamplingOptions(image_guidance=1.5, seed=7))
for number, (image,) in enumerate(drawings, start=1):
    (args.out / f"digit-{number}.png").write_bytes(encode_png(image.pixels))

# --- 3. The engine: requests that differ in everything share one batch, and answer piece by piece.
engine = Engine(omni.model, omni.tokenizers, EngineConfig(slots=8))
handles = {
    "written": engine.submit(Request(prompt=[picture, Text("which digit?")], want="text", stream=True)),
    "spoken": engine.submit(Request(prompt=[Text("say four")], want="audio", stream=True)),
    "drawn": engine.submit(Request(prompt=[clip, Text("draw it")], want="image", stream=True)),
    "given up": engine.submit(Request(prompt=[Text("The statement")], chat=False, seconds=0.2)),
}
sound: list[np.ndarray] = []
for name, handle in handles.items():  # whoever waits drives all of them
    for event in handle:
        match event:
            case TextPiece(text):
                print(f"{name}: {text!r}")
            case SoundPiece():
                sound.append(event.waveform)  # playable at once, at event.sample_rate
            case Picture(image):
                (args.out / "streamed.png").write_bytes(encode_png(image.pixels))
            case Finished():
                print(f"{name}: over ({event.reason}), {event.positions} positions")
write_wav(args.out / "four.wav", np.concatenate(sound), omni.tokenizers.audio.sample_rate)

# Probabilities, and an answer that is cancelled.
options = SamplingOptions(logprobs=True, top_logprobs=2)
asked = engine.submit(Request(prompt=[clip, Text("which digit?")], want="text", options=options))
for token in asked.result().logprobs:
    print(f"token {token.token}: {token.logprob:.3f} nats; likeliest: {token.top}")
endless = engine.submit(Request(prompt=[Text("The statement")], want="text", chat=False))
engine.step()
endless.cancel()
print("cancelled:", as_text(endless.result().segments))

# --- 4. In a thread, as a server runs it: submit and cancel from anywhere.
with engine:
    first = engine.submit(Request(prompt=[clip, Text("which digit?")], want="text"))
    second = engine.submit(Request(prompt=[picture, Text("say it")], want="audio"))
    print("from a thread:", as_text(first.result().segments), "and", as_text(second.result().segments))
print(f"pictures and clips are in {args.out}/")
