"""Makes the README's pictures from a finished run of the toy corpus.

    python train.py --run-name pictures --logs /tmp/pictures
    python docs/make_pictures.py /tmp/pictures/pictures

The film comes from the run's own event file; the screenshot from a real TensorBoard in headless
Chromium, which must be installed.
"""

import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

DOCS = Path(__file__).resolve().parent
CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--virtual-time-budget=60000",
)


def make_film(run: Path, output: Path) -> None:
    """Puts the heatmaps of all layers, epoch by epoch, into one animated GIF."""
    events = EventAccumulator(str(run / "train"), size_guidance={"tensors": 0})
    events.Reload()
    tags = sorted(tag for tag in events.Tags()["tensors"] if tag.startswith("attention/"))
    layers = [events.Tensors(tag) for tag in tags]
    font = ImageFont.load_default(size=16)
    frames = []
    for images in zip(*layers, strict=True):
        # A summary of an image holds its width, its height, and the PNG.
        pngs = [image.tensor_proto.string_val[2] for image in images]
        pictures = [Image.open(io.BytesIO(png)) for png in pngs]
        width = max(picture.width for picture in pictures)
        frame = Image.new("RGB", (width, 28 + sum(p.height for p in pictures)), "white")
        ImageDraw.Draw(frame).text((10, 6), f"epoch {images[0].step + 1}", "black", font)
        top = 28
        for picture in pictures:
            frame.paste(picture, (0, top))
            top += picture.height
        frames.append(frame)
    palette = frames[-1].quantize(256)  # one for all frames; the colour bar is in it
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [250] * (len(frames) - 1) + [2500]  # milliseconds; rest on the last frame
    frames[0].save(output, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def screenshot_tensorboard(logs: Path, fragment: str, output: Path) -> None:
    """Starts TensorBoard on `logs`, opens one of its dashboards, and takes its picture."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("expected Chromium to be installed, found no `chromium`")
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", logs, "--port", "0"]
    command += ["--samples_per_plugin", "images=1000,text=1000"]
    with tempfile.TemporaryDirectory() as profile, tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            address = None
            while address is None:
                time.sleep(0.5)
                log.seek(0)
                address = re.search(r"http://localhost:\d+/", log.read())
            subprocess.run(
                [
                    chromium,
                    *CHROMIUM_FLAGS,
                    "--window-size=1400,900",
                    f"--user-data-dir={profile}",
                    f"--screenshot={output}",
                    address[0] + fragment,
                ],
                check=True,
                capture_output=True,
                timeout=120,
            )
        finally:
            server.terminate()
            server.wait()


def main() -> None:
    """Makes both pictures."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    run = Path(sys.argv[1])
    make_film(run, DOCS / "attention.gif")
    screenshot_tensorboard(run.parent, "#timeseries", DOCS / "tensorboard.png")


if __name__ == "__main__":
    main()
