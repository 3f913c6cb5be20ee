"""Why a file gives no sound, in words for those who listen to music."""

from typing import TYPE_CHECKING, Final

from kg.files import QuietFile

if TYPE_CHECKING:
    import av

_LOOK: Final = 1 << 16  # bytes looked at, at the beginning and at the end
_LEAST: Final = 16  # bytes; what is shorter is nothing yet

# What begins like this is no audio.
_OTHER: Final = (
    (b"%PDF", "a PDF document, not audio"),
    (b"\x89PNG", "a picture, not audio"),
    (b"\xff\xd8\xff", "a picture, not audio"),
    (b"GIF8", "a picture, not audio"),
    (b"PK\x03\x04", "an archive, not audio: unpack it first"),
    (b"Rar!", "an archive, not audio: unpack it first"),
    (b"7z\xbc\xaf", "an archive, not audio: unpack it first"),
    (b"\x1f\x8b", "an archive, not audio: unpack it first"),
    (b"MThd", "MIDI: notes to be played, not sound"),
    (b"OFR ", "OptimFROG, which only its own player can decode"),
)

# What begins like this is audio, or was: (offset, mark, name).
_AUDIO: Final = (
    (0, b"RIFF", "WAV"),
    (0, b"RF64", "WAV"),
    (0, b"FORM", "AIFF"),
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "Ogg"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA"),
    (4, b"ftyp", "MP4"),
    (0, b"MAC ", "Monkey's Audio (APE)"),
    (0, b"wvpk", "WavPack"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
    (0, b"DSD ", "DSF"),
    (0, b"FRM8", "DFF"),
    (0, b"TTA", "TTA"),
    (0, b"tBaK", "TAK"),
    (0, b"\x1aE\xdf\xa3", "Matroska"),
    (0, b"caff", "CAF"),
    (0, b".snd", "AU"),
    (0, b"#!AMR", "AMR"),
    (0, b".RMF", "RealAudio"),
    (0, b"Creative Voice File", "VOC"),
    (0, b"riff\x2e\x91\xcf\x11", "W64"),
)

LOCKED: Final = "encrypted (DRM): it plays only in the seller's own player"
_LOCKED_CODECS: Final = ("drms", "enca", "aavd", "p608")  # FairPlay, Common Encryption, Audible
_LOCKS: Final = (
    b"drms",
    b"enca",
    # ASF: the content encryption object, and the extended one
    bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),
    bytes.fromhex("14e68a292226174cb935dae07ee9289c"),
)


def encrypted(stream: "av.AudioStream") -> bool:
    """Whether a stream says that its sound is locked up."""
    context = stream.codec_context
    return context is not None and context.codec_tag in _LOCKED_CODECS


def explain(file: QuietFile) -> str:
    """Say what a file is that no decoder makes sound of, by how it begins and ends."""
    file.seek(0)
    head = file.read(_LOOK)
    for mark, reason in _OTHER:
        if head.startswith(mark):
            return reason
    if len(head) < _LEAST:
        return f"only {len(head)} bytes long: cut off"
    if not head.strip(b"\0"):
        return "holds nothing but zeros: a copy or download that failed"
    name = next((name for at, mark, name in _AUDIO if head[at:].startswith(mark)), None)
    if name in ("MP4", "WMA"):
        end = file.seek(0, 2)
        file.seek(max(0, end - _LOOK))
        both = head + file.read(_LOOK)
        if any(lock in both for lock in _LOCKS):
            return LOCKED
    if name is not None:
        return f"damaged or cut off: it begins like {name}, but no sound can be decoded"
    if head.startswith(b"ID3"):
        return "damaged or cut off: it begins with tags, but no sound follows"
    if len(head) > 1 and head[0] == 0xFF and head[1] >= 0xE0:
        return "damaged or cut off: it begins like MP3, but no sound can be decoded"
    return _text(head) or "not an audio file, or too broken to decode"


def _text(head: bytes) -> str:
    """What kind of text it is; empty if it isn't any."""
    if any(byte < 0x20 and byte not in b"\t\n\v\f\r" for byte in head):
        return ""
    try:
        text = head.decode("utf-8", "strict" if len(head) < _LOOK else "ignore")
    except UnicodeDecodeError:
        return ""
    begin = text.lstrip("\ufeff \t\r\n")[:100].lower()
    if begin.startswith(("<!doctype html", "<html", "<head", "<body")):
        return "a web page, not audio: a download that failed"
    if begin.startswith(("#extm3u", "[playlist]")):
        return "a playlist, not audio"
    return "text, not audio"
