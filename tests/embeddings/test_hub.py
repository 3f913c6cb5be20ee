"""Encoders of the hub: what they hear of a song, what decides it, and all that can be wrong.

The networks are tiny and made up; what loads them is the real thing. Where it reads its settings as
it is imported, it runs in a process of its own: with a hub on this machine, or with none.
"""

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from kg.embeddings import hub
from kg.embeddings.hub import HubEar, load
from kg.errors import KgError, WrongUsageError
from kg.schema import check_family_name
from tests.conftest import REPOSITORY
from tests.waiting import DEADLINE

RATE = 16_000
PIECE = 10 * RATE
COMMIT = "0123456789abcdef0123456789abcdef01234567"

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
WAVES = SMALL | {
    "intermediate_size": 32,
    "conv_dim": (8, 8, 8),
    "conv_stride": (10, 8, 4),
    "conv_kernel": (20, 8, 4),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}
DECODING = {
    "d_model": 16,
    "vocab_size": 100,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "pad_token_id": 1,
    "decoder_start_token_id": 4,
} | {
    f"{part}_{what}": value
    for part, layers in (("encoder", 2), ("decoder", 1))
    for what, value in (("layers", layers), ("attention_heads", 2), ("ffn_dim", 32))
}


def save(folder: Path, model: str, extractor: str, config: Any, **options: Any) -> Path:
    """Save a model with random weights, and its feature extractor."""
    import transformers

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bands that no frequency falls into
        getattr(transformers, model)(config).save_pretrained(folder)
        getattr(transformers, extractor)(**options).save_pretrained(folder)
    return folder


def save_waves(folder: Path, model: str = "Wav2Vec2", **options: Any) -> Path:
    import transformers

    config = getattr(transformers, f"{model}Config")(**WAVES)
    return save(folder, f"{model}Model", "Wav2Vec2FeatureExtractor", config, **options)


def save_whisper(folder: Path) -> Path:
    from transformers import WhisperConfig

    unset = {"suppress_tokens": None, "begin_suppress_tokens": None}
    config = WhisperConfig(**DECODING, **unset)
    return save(folder, "WhisperModel", "WhisperFeatureExtractor", config)


def save_speech_to_text(folder: Path) -> Path:
    from transformers import Speech2TextConfig

    config = Speech2TextConfig(**DECODING, conv_channels=16)
    return save(folder, "Speech2TextModel", "Speech2TextFeatureExtractor", config)


def save_ast(folder: Path) -> Path:
    from transformers import ASTConfig

    config = ASTConfig(**SMALL, intermediate_size=32)
    return save(folder, "ASTModel", "ASTFeatureExtractor", config)


def save_clap(folder: Path, truncation: str = "rand_trunc") -> Path:
    from transformers import ClapConfig

    text = SMALL | {"intermediate_size": 16, "vocab_size": 50}
    audio = {
        "patch_embeds_hidden_size": 8,
        "hidden_size": 64,
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 1, 2, 2],
        "enable_fusion": truncation == "fusion",
    }
    config = ClapConfig(text_config=text, audio_config=audio, projection_dim=8)
    return save(folder, "ClapModel", "ClapFeatureExtractor", config, truncation=truncation)


@pytest.fixture
def waves(tmp_path: Path) -> Path:
    return save_waves(tmp_path / "Tiny-Waves")


def music(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Noise whose colour and loudness change all the time."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=round(seconds * rate))
    swell = 0.2 + 0.1 * np.sin(np.arange(len(noise)) / rate)
    return np.convolve(noise * swell, rng.normal(size=5), mode="same").astype(np.float32)


def layers_of(folder: Path, pieces: list[np.ndarray]) -> torch.Tensor:
    """Hidden states of a model for waves, without its input: [layers, pieces, time, channels]."""
    from transformers import AutoModel

    normal = [(piece - piece.mean()) / np.sqrt(piece.var() + 1e-7) for piece in pieces]
    model = AutoModel.from_pretrained(str(folder)).eval()
    with torch.inference_mode():
        told = model(torch.from_numpy(np.stack(normal)), output_hidden_states=True)
    assert len(told.hidden_states) == 3
    return torch.stack(told.hidden_states[1:])


def close(one: np.ndarray, other: np.ndarray | torch.Tensor) -> bool:
    return bool(np.allclose(one, np.asarray(other), atol=1e-5))


def test_vector_is_the_mean_over_time_and_layers(waves: Path) -> None:
    ear = load(str(waves))
    assert (ear.form, ear.embedding.name) == ("wave@16000", f"hf:{waves}")
    assert ear.embedding.family == "tiny_waves"
    assert ear.embedding.columns == tuple(f"tiny_waves_{number:03d}" for number in range(1, 17))
    song = music(10)
    vector = ear.hear(song)
    assert (vector.shape, vector.dtype) == ((16,), np.float32)
    assert close(vector, layers_of(waves, [song]).mean(dim=(0, 1, 2)))


@pytest.mark.parametrize(
    ("seconds", "begins"),
    [
        (20, (0, 10)),
        (25, (0, 7.5, 15)),  # overlapping: no piece is shorter
        (20.4, (0, 10.4)),  # a little between them is not heard
        (90, tuple(range(0, 90, 10))),  # more than the network hears at once
    ],
)
def test_pieces_of_long_songs_weigh_the_same(
    waves: Path, seconds: float, begins: tuple[float, ...]
) -> None:
    song = music(seconds)
    starts = [round(begin * RATE) for begin in begins]
    layers = layers_of(waves, [song[start : start + PIECE] for start in starts])
    assert close(load(str(waves)).hear(song), layers.mean(dim=(0, 1, 2)))


def test_short_songs_are_repeated_to_fill_a_piece(waves: Path) -> None:
    ear = load(str(waves))
    song = music(4)
    assert close(ear.hear(song), ear.hear(np.concatenate([song, song, song[: 2 * RATE]])))
    for samples in (0, 1, 100):
        assert np.isfinite(ear.hear(song[:samples])).all()


@pytest.mark.parametrize(
    ("make", "rate", "width"),
    [
        (save_waves, 16_000, 16),
        (lambda folder: save_waves(folder, "Hubert", return_attention_mask=True), 16_000, 16),
        (lambda folder: save_waves(folder, "WavLM", sampling_rate=24_000), 24_000, 16),
        (save_whisper, 16_000, 16),
        (save_speech_to_text, 16_000, 16),  # divides by the deviation, which silence has none of
        (save_ast, 16_000, 16),
        (save_clap, 48_000, 64),
        (lambda folder: save_clap(folder, "fusion"), 48_000, 64),
    ],
    ids=["wav2vec2", "hubert", "wavlm", "whisper", "s2t", "ast", "clap", "clap-fused"],
)
def test_every_kind_hears(
    tmp_path: Path, make: Callable[[Path], Path], rate: int, width: int
) -> None:
    ear = load(str(make(tmp_path / "model")))
    assert ear.form == f"wave@{rate}"
    assert len(ear.embedding.columns) == width
    song = music(21, rate)
    vector = ear.hear(song)
    assert vector.shape == (width,)
    assert vector.std() > 0
    assert np.abs(vector - ear.hear(music(21, rate, seed=1))).max() > 1e-4
    for _ in range(3):  # nothing is drawn at random
        np.testing.assert_array_equal(vector, ear.hear(song))
    for silence in (np.zeros(21 * rate, np.float32), np.zeros(5, np.float32), np.float32([])):
        assert np.isfinite(ear.hear(silence)).all()


def test_of_whisper_only_the_encoder_hears_thirty_seconds_at_once(tmp_path: Path) -> None:
    from transformers import AutoFeatureExtractor, WhisperModel

    folder = save_whisper(tmp_path / "whisper")
    song = music(30)
    features = AutoFeatureExtractor.from_pretrained(folder)(
        song, sampling_rate=RATE, return_tensors="pt"
    )
    with torch.inference_mode():
        told = (
            WhisperModel.from_pretrained(folder)
            .eval()
            .encoder(features.input_features, output_hidden_states=True)
        )
    ear = load(str(folder))
    assert close(ear.hear(song), torch.stack(told.hidden_states[1:]).mean(dim=(0, 1, 2)))
    # no silence is added to shorter ones
    assert close(ear.hear(song[: 10 * RATE]), ear.hear(np.tile(song[: 10 * RATE], 3)))


def test_of_clap_the_last_stages_of_the_audio_model_are_heard(tmp_path: Path) -> None:
    from transformers import AutoFeatureExtractor, ClapModel

    folder = save_clap(tmp_path / "clap")
    song = music(10, 48_000)
    features = AutoFeatureExtractor.from_pretrained(folder)(
        song, sampling_rate=48_000, return_tensors="pt"
    )
    with torch.inference_mode():
        told = (
            ClapModel.from_pretrained(folder)
            .eval()
            .audio_model(features.input_features, output_hidden_states=True)
        )
    widest = [state for state in told.hidden_states if state.shape[1] == 64]
    assert len(widest) == 2
    assert all(state.ndim == 4 for state in widest)
    by_hand = torch.stack([state.mean(dim=(0, 2, 3)) for state in widest]).mean(dim=0)
    assert close(load(str(folder)).hear(song), by_hand)


def test_threads_hear_the_same(waves: Path) -> None:
    ear = load(str(waves))
    songs = [music(11, seed=seed) for seed in range(4)]
    alone = [ear.hear(song) for song in songs]
    with ThreadPoolExecutor(4) as threads:
        for vector, again in zip(alone * 3, threads.map(ear.hear, songs * 3), strict=True):
            np.testing.assert_array_equal(vector, again)


def test_half_precision_is_heard_in_single(tmp_path: Path) -> None:
    from transformers import Wav2Vec2Model

    folder = save_waves(tmp_path / "model")
    Wav2Vec2Model.from_pretrained(folder).half().save_pretrained(folder)
    ear, song = load(str(folder)), music(10)
    assert ear.hear(song).dtype == np.float32
    whole = save_waves(tmp_path / "whole")
    assert np.abs(ear.hear(song) - load(str(whole)).hear(song)).max() < 0.01


def test_identity_of_a_folder_is_that_of_its_files(waves: Path, tmp_path: Path) -> None:
    def identity(folder: Path) -> str:
        return load(str(folder)).embedding.identity

    first = identity(waves)
    copied = tmp_path / "copied"
    shutil.copytree(waves, copied)
    (copied / "README.md").write_text("about", encoding="utf-8")
    assert identity(copied) == first
    change_json(copied / "preprocessor_config.json", do_normalize=False)
    second = identity(copied)
    weights = load_file(copied / "model.safetensors")
    weights["feature_projection.layer_norm.bias"] += 1
    save_weights(copied, weights)
    third = identity(copied)
    change_json(copied / "config.json", layer_norm_eps=0.1)
    assert len({first, second, third, identity(copied)}) == 4


@pytest.mark.parametrize(
    ("folder", "family"),
    [
        ("MERT-v1-95M", "mert_v1_95m"),
        ("larger_clap.music", "larger_clap_music"),
        ("2vec", "hf_2vec"),
        ("Ünderwäter--", "nderw_ter"),
        ("音楽", "hf"),
    ],
)
def test_families(folder: str, family: str) -> None:
    assert hub._family(folder) == check_family_name(family)


def test_a_folder_by_any_of_its_names(
    waves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(waves)
    names = (f"{waves}/", ".", "../Tiny-Waves", "~/Tiny-Waves")
    embeddings = [load(name).embedding for name in names]
    assert {embedding.family for embedding in embeddings} == {"tiny_waves"}
    assert len({embedding.identity for embedding in embeddings}) == 1
    monkeypatch.chdir(tmp_path)
    assert load("Tiny-Waves").embedding.name == "hf:Tiny-Waves"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "write hf:OWNER/NAME"),
        ("a//b", "no folder"),
        ("a/b/c", "no folder"),
        ("a/b c", "write hf:OWNER/NAME"),
        ("owner/--help", "write hf:OWNER/NAME"),
        ("owner/a..b", "write hf:OWNER/NAME"),
        ("owner/" + "n" * 200, "write hf:OWNER/NAME"),
        ("n" * 5000, "write hf:OWNER/NAME"),
        ("-rf", "write hf:OWNER/NAME"),
        ("https://huggingface.co/a/b", "no folder"),
        ("../no/model", "no folder"),
        ("/nowhere/model", r"no folder /nowhere/model .*check the path"),
        ("~nobody/model", "no folder"),
        ("a/b\x1b[31m", r"hf:a/b\\x1b\[31m: use printable"),
        ("a/b\0", "use printable"),
        ("a/\udcff", "use printable"),
        (__file__, "is a file: name the folder"),
    ],
)
def test_names_that_no_model_has(name: str, words: str) -> None:
    with pytest.raises(WrongUsageError, match=words) as raised:
        load(name)
    assert str(raised.value).isprintable()


def test_what_is_no_audio_model(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel, EncodecConfig

    text = tmp_path / "bert"
    BertModel(BertConfig(**SMALL, intermediate_size=16, vocab_size=50)).save_pretrained(text)
    with pytest.raises(WrongUsageError, match=r"hears no music .*choose an audio model"):
        load(str(text))
    (text / "preprocessor_config.json").write_text('{"image_processor_type": "ViTImageProcessor"}')
    with pytest.raises(KgError, match=r"hears no music|can't be loaded"):
        load(str(text))
    config = EncodecConfig(num_filters=4, hidden_size=16, codebook_size=16, num_lstm_layers=1)
    codec = save(tmp_path / "codec", "EncodecModel", "EncodecFeatureExtractor", config)
    with pytest.raises(WrongUsageError, match=r"can't be an ear .*gives its hidden states"):
        load(str(codec))


def change_json(file: Path, **changes: object) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(content | changes), encoding="utf-8")


def save_weights(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("config.json", None),
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b"{}"),
        ("config.json", b'{"model_type": "from_the_future"}'),
        ("config.json", b'{"model_type": "wav2vec2", "hidden_size": 32}'),
        ("config.json", b"\xff\xfe"),
        ("preprocessor_config.json", b"{"),
        ("model.safetensors", None),
        ("model.safetensors", b""),
        ("model.safetensors", b"\x10\0\0\0\0\0\0\0 no header at all"),
    ],
)
def test_damaged_folders(waves: Path, file: str, damage: bytes | None) -> None:
    if damage is None:
        (waves / file).unlink()
    else:
        (waves / file).write_bytes(damage)
    with pytest.raises(KgError, match=r"can't be loaded \(.*fetch them again.*upgrade") as raised:
        load(str(waves))
    assert "\n" not in str(raised.value)


def test_weights_cut_short(waves: Path) -> None:
    file = waves / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(KgError, match=r"can't be loaded \(.*fetch them again"):
        load(str(waves))


def test_weights_that_the_encoder_hears_with_must_be_there(waves: Path) -> None:
    song = music(10)
    vector = load(str(waves)).hear(song)
    weights = load_file(waves / "model.safetensors")
    # it hides parts of songs in training, and nothing else
    del weights["masked_spec_embed"]
    save_weights(waves, weights)
    np.testing.assert_array_equal(load(str(waves)).hear(song), vector)
    for name in ("encoder.layers.1.attention.k_proj.bias", "feature_projection.projection.weight"):
        save_weights(waves, {key: value for key, value in weights.items() if key != name})
        with pytest.raises(KgError, match=r"lacks weights that it hears with .*choose a model"):
            load(str(waves))
    weights["encoder.layer_norm.weight"][3] = torch.nan
    save_weights(waves, weights)
    with pytest.raises(KgError, match="values that are no numbers"):
        load(str(waves))


def test_weights_that_are_no_numbers(waves: Path) -> None:
    weights = load_file(waves / "model.safetensors")
    weights["encoder.layer_norm.weight"][3] = torch.nan
    save_weights(waves, weights)
    with pytest.raises(KgError, match="values that are no numbers: its weights are damaged"):
        load(str(waves))


def test_heads_for_other_tasks_are_left_out(waves: Path, tmp_path: Path) -> None:
    from transformers import Wav2Vec2ForCTC, Wav2Vec2Model

    headed = Wav2Vec2ForCTC.from_pretrained(waves)
    headed.wav2vec2.load_state_dict(Wav2Vec2Model.from_pretrained(waves).state_dict())
    folder = tmp_path / "headed"
    shutil.copytree(waves, folder)
    headed.save_pretrained(folder)
    song = music(10)
    assert close(load(str(folder)).hear(song), load(str(waves)).hear(song))


def test_transformers_is_not_there(waves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(KgError, match=r"isn't installed: run `pip install 'kg-music\[hf\]'`"):
        load(str(waves))


def test_no_such_device(waves: Path) -> None:
    for device in ("cuda:99", "abacus"):
        with pytest.raises(WrongUsageError, match="There is no device"):
            load(str(waves), device=device)


def test_too_little_memory(waves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ear = load(str(waves))

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(torch, "stack", full)
    with pytest.raises(KgError, match=r"too little memory on cpu for hf:.*a smaller model"):
        ear.hear(music(1))


def test_nothing_is_said_and_all_is_left_as_it_was(
    waves: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from transformers.utils import logging as theirs

    weights = load_file(waves / "model.safetensors")
    save_weights(waves, {key: value for key, value in weights.items() if "masked" not in key})
    level = logging.getLogger("transformers").level
    capfd.readouterr()
    try:
        for switch, disabled in ((disable_progress_bars, True), (enable_progress_bars, False)):
            switch()
            load(str(waves)).hear(music(10))
            assert capfd.readouterr() == ("", "")
            assert are_progress_bars_disabled() == disabled
            assert theirs.is_progress_bar_enabled()
    finally:
        enable_progress_bars()
    assert logging.getLogger("transformers").level == level


def test_the_import_is_cheap() -> None:
    heavy = "{'torch', 'transformers', 'huggingface_hub', 'librosa'}"
    code = f"import sys, kg.embeddings.hub; sys.exit({heavy} & sys.modules.keys() != set())"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


# An encoder of somebody else's, who prints, and whose forward pass keeps its layers to itself.
OWN_CODE = """
import os
from pathlib import Path

import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

print("hello")
Path(os.environ["KG_OWN_CODE"]).touch()


class OwnConfig(PretrainedConfig):
    model_type = "own"


class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(8, 8) for _ in range(3))
        self.post_init()

    def forward(self, input_values, output_hidden_states=None):
        states = input_values.unflatten(1, (-1, 8))
        for layer in self.layers:
            states = layer(states)
        return BaseModelOutput(last_hidden_state=states)
"""


def save_own(folder: Path) -> Path:
    from transformers import Wav2Vec2FeatureExtractor

    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)
    (folder / "own.py").write_text(OWN_CODE, encoding="utf-8")
    classes = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    described = json.dumps({"model_type": "own", "auto_map": classes})
    (folder / "config.json").write_text(described, encoding="utf-8")
    rng = torch.Generator().manual_seed(0)
    save_weights(
        folder,
        {
            f"layers.{layer}.{name}": torch.randn(shape, generator=rng)
            for layer in range(3)
            for name, shape in (("weight", (8, 8)), ("bias", (8,)))
        },
    )
    return folder


def own_vector(folder: Path, song: np.ndarray) -> np.ndarray:
    weights = load_file(folder / "model.safetensors")
    states, seen = torch.from_numpy(song).unflatten(0, (-1, 8)), []
    for layer in range(3):
        states = states @ weights[f"layers.{layer}.weight"].T + weights[f"layers.{layer}.bias"]
        seen.append(states.mean(dim=0))
    return torch.stack(seen).mean(dim=0).numpy()


def test_somebody_elses_code_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = save_own(tmp_path / "model")
    mark = tmp_path / "mark"
    monkeypatch.setenv("KG_OWN_CODE", str(mark))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("nobody is to be asked"))
    capfd.readouterr()
    with pytest.raises(KgError, match=r"--trust-remote-code .*somebody else's program"):
        load(str(folder))
    assert capfd.readouterr() == ("", "")
    assert not mark.exists()


def tried(name: str, **options: Any) -> str:
    try:
        load(name, **options)
    except KgError as error:
        return f"{type(error).__name__}: {error}"
    return "loaded"


def in_cache(home: Path, model: Path, name: str) -> Path:
    """Put a model into the hub's cache, as the hub's own programs lay it out."""
    root = home / "hub" / f"models--{name.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    kept = root / "snapshots" / COMMIT
    shutil.copytree(model, kept)
    return kept


def test_what_is_in_the_cache_works_offline(
    tmp_path: Path, waves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    in_cache(tmp_path, waves, "Some-One/Tiny-Waves")
    (in_cache(tmp_path, waves, "some-one/part") / "model.safetensors").unlink()
    # HF_HOME and HF_HUB_OFFLINE, which were read as it was imported
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    ear = load("Some-One/Tiny-Waves")
    assert (ear.embedding.name, ear.embedding.family) == ("hf:Some-One/Tiny-Waves", "tiny_waves")
    assert ear.embedding.identity == hub._identity(COMMIT, own_code=False)
    assert close(ear.hear(music(10)), load(str(waves)).hear(music(10)))
    with pytest.raises(KgError, match=r"isn't in the cache.*HF_HUB_OFFLINE is set.*works offline"):
        load("some-one/else")
    with pytest.raises(KgError, match=r"no weights.*filled in part, run .*download some-one/part`"):
        load("some-one/part")


@contextmanager
def hub_here(model: Path) -> Iterator[str]:
    """A hub on this machine. Names tell what becomes of a request.

    Yields:
        Its address.
    """
    files = {file.name: file.read_bytes() for file in model.iterdir()}

    class Hub(BaseHTTPRequestHandler):
        def answer(self) -> tuple[int, dict[str, str], bytes]:
            path = self.path.partition("?")[0].strip("/").removeprefix("api/models/")
            owner, name, kind, *rest = [*path.split("/"), "", ""]
            if name == "none":
                return 401, {"X-Error-Code": "RepoNotFound"}, b""
            if name == "expired":
                return 403, {}, b""
            if name == "busy":
                return 500, {}, b""
            if kind == "tree":
                return 200, {}, json.dumps([self.described(file) for file in files]).encode()
            if kind != "resolve":
                found = {"id": f"{owner}/{name}", "sha": COMMIT, "siblings": []}
                return 200, {}, json.dumps(found).encode()
            if name == "gated":
                return 403, {"X-Error-Code": "GatedRepo"}, b""
            if (content := files.get(rest[1])) is None:
                return 404, {"X-Error-Code": "EntryNotFound"}, b""
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            return 200, {"X-Repo-Commit": COMMIT, "ETag": etag}, content

        def described(self, file: str) -> dict[str, object]:
            oid = hashlib.sha1(files[file]).hexdigest()
            return {"type": "file", "path": file, "size": len(files[file]), "oid": oid}

        def do_GET(self) -> None:
            status, headers, body = self.answer()
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def child(model: str, own: str, lacking: str, mark: str) -> dict[str, Any]:
    with hub_here(Path(model)) as address:
        os.environ["HF_ENDPOINT"] = address
        first = load("some-one/tiny-waves").embedding.identity
        refused = {name: tried(f"some-one/{name}") for name in ("none", "gated", "expired", "busy")}
    # the hub is gone
    again = load("some-one/tiny-waves").embedding.identity
    gone, distrusted, before = tried("some-one/else"), tried(own), Path(mark).exists()
    trusted = load(own, trust_remote_code=True)
    kept = Path(os.environ["HF_HOME"], "hub/models--some-one--tiny-waves/snapshots", COMMIT)
    return refused | {
        "identities": [first, again],
        "files": sorted(file.name for file in kept.iterdir()),
        "gone": gone,
        "distrusted": [distrusted, tried(own)],
        "ran": [before, Path(mark).exists()],
        "own": trusted.hear(music(10)).tolist(),
        "own_identity": trusted.embedding.identity,
        "lacking": tried(lacking, trust_remote_code=True),
    }


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `child` returns in a process of its own, which says nothing else."""
    folder = tmp_path_factory.mktemp("child")
    waves = save_waves(folder / "waves")
    for unwanted in ("README.md", "pytorch_model.bin", "tokenizer.json", "model.fp16.safetensors"):
        (waves / unwanted).write_bytes(b"not to be fetched")
    own, lacking = save_own(folder / "own"), save_own(folder / "lacking")
    (lacking / "own.py").write_text(f"import no_such_package\n{OWN_CODE}", encoding="utf-8")
    code = (
        "import json, sys; from tests.embeddings import test_hub; "
        "print(json.dumps(test_hub.child(*sys.argv[1:])))"
    )
    mark = str(folder / "mark")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(waves), str(own), str(lacking), mark],
        capture_output=True,
        check=False,
        cwd=REPOSITORY,
        env=kept | {"HF_HOME": str(folder / "home"), "KG_OWN_CODE": mark},
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=DEADLINE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    came: dict[str, Any] = json.loads(done.stdout)
    return came | {"weights": own}


def test_what_the_hub_gives(told: dict[str, Any]) -> None:
    # once from the hub, once from the cache when there was no network
    assert told["identities"] == [hub._identity(COMMIT, own_code=False)] * 2
    assert told["files"] == ["config.json", "model.safetensors", "preprocessor_config.json"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "none",
            "WrongUsageError: There is no model hf:some-one/none on the hub, or it is private",
        ),
        ("none", "auth login` or set HF_TOKEN"),
        ("gated", "do so on https://huggingface.co/some-one/gated, then run `"),
        ("gated", "auth login` or set HF_TOKEN"),
        ("expired", "(HTTP 403): run `"),
        ("expired", "HF_TOKEN to a token that is still valid"),
        ("busy", "isn't in the cache, and it can't be fetched (the hub answers HTTP 500)"),
        ("busy", "download some-one/busy` where there is a network"),
        ("gone", "isn't in the cache, and it can't be fetched (the hub can't be reached)"),
        ("gone", "download some-one/else` where there is a network; from then on it works offline"),
    ],
)
def test_what_the_hub_refuses(told: dict[str, Any], name: str, words: str) -> None:
    assert words in told[name]
    assert told[name].isprintable()


def test_somebody_elses_code_runs_where_it_is_trusted(told: dict[str, Any]) -> None:
    assert told["ran"] == [False, True]
    assert close(told["own"], own_vector(told["weights"], music(10)))
    for distrusted in told["distrusted"]:
        assert "--trust-remote-code" in distrusted
    assert "lacks something" in told["lacking"]
    assert "no_such_package" in told["lacking"]
    content = hub._content(told["weights"])
    assert told["own_identity"] == hub._identity(content, own_code=True)
    assert told["own_identity"] != hub._identity(content, own_code=False)


def test_what_the_hubs_program_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "entry_points", lambda **_: ["hf"])
    assert hub._command("download", "download") == "hf download"
    monkeypatch.setattr(hub, "entry_points", lambda **_: [])
    assert hub._command("auth login", "login") == "huggingface-cli login"


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, waves: Path) -> None:
    import huggingface_hub

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(KgError, match=r"can't be kept \(No space.*another place with HF_HOME"):
        load("some-one/tiny-waves")


def test_an_ear_is_what_it_says(waves: Path) -> None:
    from kg.embeddings.ears import Ear

    ear: Ear = load(str(waves))
    assert isinstance(ear, HubEar)
