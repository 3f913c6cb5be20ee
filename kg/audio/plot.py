"""A picture of a song: waveform, log-mel spectrogram, MFCC and chroma over one time axis."""

from pathlib import Path
from typing import TYPE_CHECKING, Final
from unicodedata import category

import numpy as np
from numpy.typing import NDArray

from kg.audio.decode import SAMPLE_RATE, Audio
from kg.audio.frames import Frames
from kg.audio.scales import PITCHES, mel_rows
from kg.audio.spectrum import HOP
from kg.pictures import save_picture
from kg.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_COLUMNS: Final = 2400  # more of them than a picture has pixels aren't drawn
_TITLE: Final = 80  # characters
_FONT: Final = "DejaVu Sans"  # comes with matplotlib
_INK, _FAINT = "#22313f", "#6b7785"
_HERTZ: Final = (64, 256, 512, 1024, 2048, 4096, 8192)

Values = NDArray[np.float32]


def draw(audio: Audio, title: str, path: Path) -> None:
    """Draw a song into a file; one that is there is replaced when the new one is whole.

    Raises:
        KgError: it can't be written.
    """
    save_picture(figure(audio, title), path)


def figure(audio: Audio, title: str) -> "Figure":
    """The picture as matplotlib holds it: four panels, and a colour bar beside three of them."""
    from matplotlib.figure import Figure

    frames = Frames(audio.samples)
    seconds = len(audio.samples) / SAMPLE_RATE
    # A figure of its own: pyplot would keep it, and choose a window to show it in.
    picture = Figure(figsize=(11, 10), layout="constrained", facecolor="white")
    grid = picture.add_gridspec(4, 2, width_ratios=(70, 1), height_ratios=(1, 1.9, 1.3, 1.4))
    panels = [picture.add_subplot(grid[0, 0])]
    panels += [picture.add_subplot(grid[row, 0], sharex=panels[0]) for row in (1, 2, 3)]
    wave, mel, mfcc, chroma = panels

    _draw_wave(wave, audio.samples)
    log_mel = frames.log_mel - frames.log_mel.max()
    shown = [
        (_draw_frames(mel, log_mel, "magma", (-80.0, 0.0)), "dB (loudest = 0)"),
        (_draw_frames(mfcc, frames.mfcc, "RdBu_r", _mfcc_limits(frames.mfcc)), "value"),
        (_draw_frames(chroma, frames.chroma, "magma", (0.0, 1.0)), "strongest = 1"),
    ]
    for row, (image, unit) in enumerate(shown, start=1):
        beyond = "both" if unit == "value" else "neither"
        bar = picture.colorbar(image, cax=picture.add_subplot(grid[row, 1]), extend=beyond)
        bar.set_label(unit, color=_INK, fontsize=9)
        bar.ax.tick_params(labelsize=8, colors=_INK)
        bar.outline.set_visible(False)

    wave.set_title("Waveform")
    wave.set_ylabel("Amplitude")
    mel.set_title("Log-mel spectrogram")
    mel.set_ylabel("Frequency (Hz)")
    mel.set_yticks(mel_rows(_HERTZ), [str(hertz) for hertz in _HERTZ])
    mfcc.set_title("MFCC")
    mfcc.set_ylabel("Coefficient")
    mfcc.set_yticks([0, 4, 9, 14, 19], ["1", "5", "10", "15", "20"])
    chroma.set_title("Chroma")
    chroma.set_ylabel("Pitch class")
    chroma.set_yticks(range(len(PITCHES)), PITCHES)
    chroma.set_xlabel("Time (s)")
    for panel in panels:
        _style(panel)
        panel.tick_params(labelbottom=panel is chroma)
    wave.set_xlim(0, seconds)

    text, fonts = _drawable(_shortened(printable(title)))
    picture.suptitle(text, fontsize=15, color=_INK, fontfamily=fonts, parse_math=False)
    wave.set_title(
        f"{_heard(seconds, audio.duration)}  ·  {frames.tempo:.0f} BPM",
        loc="right", fontsize=9, color=_FAINT,
    )  # fmt: skip
    return picture


def _style(panel: "Axes") -> None:
    panel.set_title(panel.get_title(), loc="left", fontsize=10, fontweight="bold", color=_INK)
    panel.set_title("", loc="center")
    panel.tick_params(labelsize=8, colors=_INK, length=3)
    for label in (panel.xaxis.label, panel.yaxis.label):
        label.set(fontsize=9, color=_INK)
    for side in panel.spines.values():
        side.set_visible(False)


def _draw_wave(panel: "Axes", samples: Values) -> None:
    width = max(1, len(samples) // _COLUMNS)
    starts = np.arange(0, len(samples), width)
    low, high = np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)
    times = (starts + (width - 1) / 2) / SAMPLE_RATE
    panel.axhline(0, color=_FAINT, linewidth=0.5)
    # The line shows where lowest and highest are one: in a file of a few thousand samples.
    panel.fill_between(times, low, high, color="#2a6f97", linewidth=0.6, edgecolor="#2a6f97")
    most = float(np.abs(samples).max())
    panel.set_ylim(-1.05 * most, 1.05 * most)


def _draw_frames(
    panel: "Axes", values: Values, colours: str, limits: tuple[float, float]
) -> "AxesImage":
    """Draw [rows, frames], frames at their time in seconds, rows upwards from 0."""
    rows, count = values.shape
    width = max(1, -(-count // _COLUMNS))
    starts = np.arange(0, count, width)
    sizes = np.diff(np.append(starts, count))
    image = np.add.reduceat(values, starts, axis=1) / sizes
    # Each column stands for the time around its frame; the last may be narrower.
    begin, end = -0.5 * HOP / SAMPLE_RATE, (len(starts) * width - 0.5) * HOP / SAMPLE_RATE
    return panel.imshow(
        image,
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        extent=(begin, end, -0.5, rows - 0.5),
    )


def _mfcc_limits(mfcc: Values) -> tuple[float, float]:
    """Colours for coefficients from 3 on; loudness and brightness outshine all others."""
    most = max(1.0, float(np.percentile(np.abs(mfcc[2:]), 99)))
    return -most, most


def _heard(seconds: float, duration: float) -> str:
    if duration - seconds < 0.1:
        return f"{seconds:.1f} s" if seconds < 120 else f"{_clock(seconds)} min"
    return f"{seconds:.0f} s of {_clock(duration)} min"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _shortened(text: str) -> str:
    return text if len(text) <= _TITLE else text[: _TITLE - 1].rstrip() + "…"


def _drawable(text: str) -> tuple[str, list[str]]:
    """The text with what no font of this machine can draw replaced, and the fonts it takes."""
    from matplotlib import font_manager

    fonts = [_FONT]
    missing = _missing(text, font_manager.findfont(_FONT))
    for font in font_manager.fontManager.ttflist if missing else ():
        # "Last Resort" has a box for everything; other weights and slants aren't asked for.
        if font.name.startswith("Last Resort") or (font.weight, font.style) != (400, "normal"):
            continue
        left = _missing(missing, font.fname)
        if len(left) < len(missing):
            fonts.append(font.name)
            missing = left
        if not missing:
            break
    # A mark or joiner alone would be a box of its own.
    box = {char: "" if category(char) in ("Mn", "Cf") else "□" for char in missing}
    return "".join(box.get(char, char) for char in text), fonts


def _missing(text: str, font: str) -> str:
    from matplotlib import font_manager

    there = font_manager.get_font(font).get_charmap()
    return "".join(char for char in dict.fromkeys(text) if ord(char) not in there)
