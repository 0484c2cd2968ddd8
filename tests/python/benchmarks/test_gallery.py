"""The gallery: a filmstrip of a policy, and a page from what was written about it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from experiments import gallery
from PIL import Image

from fastfisher.runs.export import export_policy
from fastfisher.training import NPG


def test_a_strip_has_its_images_in_order_and_white_where_the_episode_was_over() -> None:
    images = [np.full((gallery.SIZE, gallery.SIZE, 3), 20 * n, np.uint8) for n in range(5)]
    pixels = np.asarray(gallery.strip(images).convert("RGB"))
    size, apart = gallery.SIZE, gallery.SIZE + 2
    assert pixels.shape == (size, 8 * apart - 2, 3)
    middles = pixels[size // 2, size // 2 :: apart, 0]
    assert middles.tolist() == [0, 20, 40, 60, 80, 255, 255, 255]


def test_an_image_is_cut_to_its_middle() -> None:
    image = np.zeros((200, 400, 3), np.uint8)
    image[:, 100:300] = 200
    assert (gallery.square(image) == 200).all()


def test_a_policy_is_shown_with_its_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agent = NPG("HalfCheetah-v5", policy="linear", workers=1, batch_steps=50, max_episode_steps=50, seed=3)
    agent.learn(50)
    policy = tmp_path / "learning" / "paper" / "HalfCheetah-v5-linear" / "seed3.npz"
    policy.parent.mkdir(parents=True)
    export_policy(agent, policy)
    record = {"config": agent.config.to_dict(), "command": "fastfisher train HalfCheetah-v5 --seed 3 --quick"}
    policy.with_suffix(".json").write_text(json.dumps(record))
    assert gallery.exported_policies(tmp_path) == [policy]
    page = tmp_path / "gallery.md"
    words = [str(policy), "--out", str(tmp_path / "out"), "--page", str(page), "--gif"]
    code, errors = gallery.main(words), capsys.readouterr().err
    if "no graphics library works here" in errors:
        pytest.skip(errors.splitlines()[-1])
    assert code == 0, errors
    (entry,) = json.loads((tmp_path / "out" / "gallery.json").read_text())
    assert (entry["name"], entry["seed"], entry["steps"]) == ("HalfCheetah-v5-linear", 3, agent.steps)
    assert entry["length"] == 1_000, "the whole episode, whatever training cut it to"
    text = page.read_text()
    assert "HalfCheetah-v5-linear.png" in text
    assert record["command"] in text
    with Image.open(tmp_path / "out" / "HalfCheetah-v5-linear.png") as strip:
        assert strip.size == (8 * (gallery.SIZE + 2) - 2, gallery.SIZE)
    assert (tmp_path / "out" / "HalfCheetah-v5-linear.gif").read_bytes()[:6] == b"GIF89a"


def test_links_lead_from_the_page_to_what_they_name(tmp_path: Path) -> None:
    entry = {
        "name": "a", "env": "A-v1", "policy": "mlp", "algorithm": "npg", "seed": 0, "steps": 1,
        "command": "x", "return": 1.0, "length": 1, "gif": True,
    }  # fmt: skip
    for page in (gallery.PAGE, gallery.ROOT / "x.md", tmp_path / "pages" / "x.md"):
        page.parent.mkdir(exist_ok=True)
        for folder in (gallery.GALLERY, tmp_path / "out"):
            links = re.findall(r"\]\(([^)#]+)", gallery.page([entry], folder, page))
            assert [(page.parent / link).resolve() for link in links] == [
                gallery.ROOT / "docs" / "how-to" / "record-videos.md", folder / "a.png", folder / "a.gif"
            ]  # fmt: skip
    assert "](../../benchmarks/results/gallery/a.png)" in gallery.page([entry], gallery.GALLERY, gallery.PAGE)


def test_nothing_to_show_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gallery, "RESULTS", tmp_path)
    assert gallery.main(["--out", str(tmp_path), "--page", str(tmp_path / "x.md")]) == 2
    assert "there is no exported policy below" in capsys.readouterr().err
