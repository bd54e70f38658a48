"""Ask a checkpoint about text, pictures and sound, and save what it draws and says.

    python examples/infer.py runs/demo/checkpoints/last.ckpt --out answers

Time: seconds on a CPU. Result: answers on the terminal, ``answers/seven.png`` and ``answers/*.wav``. The picture
and the clip that are asked about are held-out ones that ``omni demo`` leaves in ``runs/demo/samples``.
"""

import argparse
from pathlib import Path

from omni.evaluation.results import as_text
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.media import encode_png, read_audio, read_image, write_wav
from omni.sequence import Audio, Image, Text

parser = argparse.ArgumentParser(description="Every kind of prompt and answer, on one checkpoint.")
parser.add_argument("checkpoint", type=Path)
parser.add_argument("--image", type=Path, default=Path("runs/demo/samples/digit.png"))
parser.add_argument("--audio", type=Path, default=Path("runs/demo/samples/clip.wav"))
parser.add_argument("--out", type=Path, default=Path("answers"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

# A checkpoint is all you need: model sizes, tokenizers and audio codec are in it.
omni = Omni.from_checkpoint(args.checkpoint)

# A prompt is a list of segments, an answer too. Files of nearly any kind can be read.
picture, clip = Image(read_image(args.image)), Audio(*read_audio(args.audio))
print("picture → text:", as_text(omni.generate([picture, Text("which digit?")], want="text")))
print("speech → text: ", as_text(omni.generate([clip, Text("which digit?")], want="text")))
question = [picture, Text(" plus "), clip, Text(" is")]
print("mixed → text:  ", as_text(omni.generate(question, want="text")))

# Pictures are uint8 (height, width, 3), sound is float32 in [-1, 1] with its sample rate.
(drawn,) = omni.generate([Text("draw a seven")], want="image")
(args.out / "seven.png").write_bytes(encode_png(drawn.pixels))
(said,) = omni.generate([Text("say seven")], want="audio")
write_wav(args.out / "seven.wav", said.waveform, said.sample_rate)
(read_aloud,) = omni.generate([picture, Text("say it")], want="audio")
write_wav(args.out / "read_aloud.wav", read_aloud.waveform, read_aloud.sample_rate)

# Many prompts at once: they are run through the model together. Prompt i draws its noise from seed + i.
prompts = [[Text(f"draw a {digit}")] for digit in ("one", "two", "three")]
drawings = omni.generate_batch(prompts, "image", SamplingOptions(image_guidance=1.5, seed=7))
for number, (image,) in enumerate(drawings, start=1):
    (args.out / f"digit-{number}.png").write_bytes(encode_png(image.pixels))

# Without `want` the model chooses the modality; with chat=False it continues a text instead of answering.
print("its own choice:", as_text(omni.generate([Text("draw a seven")])))
sampling = SamplingOptions(temperature=0.8, top_p=0.9, max_text=60)
print("continued:     ", as_text(omni.generate([Text("The statement")], "text", sampling, chat=False)))
print(f"pictures and clips are in {args.out}/")
