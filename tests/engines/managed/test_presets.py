from pathlib import Path

import pytest

from server.config import shipped
from server.engines.managed.errors import EngineSetupError
from server.engines.managed.presets import load_presets


def test_the_shipped_presets_load() -> None:
    presets = load_presets(shipped("config/models"))
    assert set(presets) == {"gpt-oss-demo", "gpt-oss-20b", "gpt-oss-120b"}
    assert set(presets["gpt-oss-demo"].aliases) == {"gpt-oss-20b", "gpt-oss-120b", "gpt-4o-mini", "gpt-4o"}
    assert presets["gpt-oss-demo"].defaults.max_tokens is not None
    assert presets["gpt-oss-20b"].model == "openai/gpt-oss-20b"
    for preset in presets.values():
        assert preset.device == "cpu" or preset.gpus[-1].name is None, "the last profile must fit any GPU"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id: x", "description: Field required"),
        (
            "id: x\ndescription: d\nmodel: m\ndevice: cpu\ncontext_length: 100\nmemory_gib: 1\ncolour: red",
            "colour: Extra",
        ),
        ("[", "cannot be read"),
        ("id: x\ndescription: d\nmodel: m\ndevice: cuda\ncontext_length: 100\nmemory_gib: 1", "gpus: a model for GPUs"),
        (
            "id: x\ndescription: d\nmodel: m\ndevice: cuda\ncontext_length: 100\nmemory_gib: 1\ngpus: [{name: '('}]",
            "gpus.0.name: is not a regular expression",
        ),
    ],
)
def test_a_wrong_preset_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "wrong.yaml").write_text(text)
    with pytest.raises(EngineSetupError) as caught:
        load_presets(tmp_path)
    assert says in str(caught.value)
    assert "wrong.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineSetupError, match="holds no model presets"):
        load_presets(tmp_path)
