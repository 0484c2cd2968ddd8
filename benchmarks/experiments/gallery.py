"""A filmstrip of each trained policy, and a page that shows them.

    python benchmarks/experiments gallery               every exported policy below benchmarks/results
    python benchmarks/experiments gallery runs/Hopper-v5-npg-mlp-seed0 policy.npz checkpoint.zip
    python benchmarks/experiments gallery --gif         a moving image of each as well

Each policy plays five episodes by its most likely actions, to the end, and the one of the median return is
shown: eight images, evenly spread over three seconds from second one on, stand side by side in
benchmarks/results/gallery/<environment>-<policy>.png.  What was shown is in gallery.json there, and
docs/results/gallery.md is made from that alone.  It needs no display;
docs/how-to/record-videos.md says which graphics library.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from suites.results import BENCHMARKS, quoted
from versus.record import write_json

from fastfisher.runs.folder import file_name
from fastfisher.training import UserError
from fastfisher.training.config import TrainConfig
from fastfisher.training.environments.drawing import drawing_environment
from fastfisher.training.environments.init_noise import ROBOTS
from fastfisher.training.seeding import Stream, stream
from fastfisher.training.whole_files import replacing

from .trained import Trained, load, play

ROOT = BENCHMARKS.parent
RESULTS = BENCHMARKS / "results"
GALLERY = RESULTS / "gallery"
PAGE = ROOT / "docs" / "results" / "gallery.md"
IMAGES, SECONDS, FIRST_SECOND = 8, 3.0, 1.0
"""Images are not half a second apart: of a stride that takes so long, or half of it, all would look alike."""
SIZE = 180
"""Height and width of an image, in pixels."""
COLORS = 96
"""Colors of a filmstrip: with more it would not be smaller than 150 kB."""
EPISODES = 5
"""Episodes that are played; the one of the median return is shown."""
MOVING = 6
"""How many images a moving image has for each of the strip's."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Shot:
    """Images of one episode, and what came of it."""

    images: list[Pixels]
    times: list[float]
    """Seconds since the episode's start."""
    episode_return: float
    length: int


def film(trained: Trained, seed: int, rate: float) -> Shot:
    """Play a usual episode; draw it ``rate`` times a second while the strip lasts, if it lives so long."""
    config = shown(trained.config)
    env = drawing_environment(config)
    seconds_a_step = 1.0 / float(env.metadata["render_fps"])
    wanted = {round((FIRST_SECOND + n / rate) / seconds_a_step) for n in range(max(1, round(SECONDS * rate)))}
    images, times = [], []

    def look(step: int) -> None:
        if step in wanted:
            images.append(square(env.render()))
            times.append(step * seconds_a_step)

    seeds = [stream(seed, Stream.EVALUATION, index)[0] for index in range(EPISODES)]
    returns = [play(env, trained.policy, env_seed)[0] for env_seed in seeds]
    total, length = play(env, trained.policy, seeds[int(np.argsort(returns)[EPISODES // 2])], look)
    if not images:
        images, times = [square(env.render())], [length * seconds_a_step]
    env.close()
    return Shot(images, times, total, length)


def shown(config: TrainConfig) -> TrainConfig:
    """Return the config with small images, where the environment can make them."""
    if config.env.partition("-")[0] not in (*ROBOTS, *PLANAR):
        return config
    return config.replace(env_kwargs={**config.env_kwargs, "width": 2 * SIZE, "height": 2 * SIZE})


PLANAR = ("InvertedPendulum", "InvertedDoublePendulum", "Reacher", "Pusher", "HumanoidStandup")
"""MuJoCo's other environments."""


def square(image: Any) -> Pixels:
    """Return an image of SIZE x SIZE: the middle of it, made smaller."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    part = Image.fromarray(image[top : top + side, left : left + side])
    pixels: Pixels = np.asarray(part.resize((SIZE, SIZE), Image.Resampling.LANCZOS))
    return pixels


def strip(images: Sequence[Pixels], gap: int = 2) -> Image.Image:
    """Put images side by side, in few colors; where the episode was over there is white."""
    canvas = np.full((SIZE, IMAGES * (SIZE + gap) - gap, 3), 255, np.uint8)
    for n, image in enumerate(images[:IMAGES]):
        left = n * (SIZE + gap)
        canvas[:, left : left + SIZE] = image
    return Image.fromarray(canvas).quantize(COLORS, dither=Image.Dither.NONE)


def write_gif(images: Sequence[Pixels], rate: float, out: Path) -> None:
    """Write a moving image that repeats for ever."""
    first, *rest = (Image.fromarray(image).quantize(COLORS, dither=Image.Dither.NONE) for image in images)
    with replacing(out) as temporary:
        first.save(
            temporary, save_all=True, append_images=rest, duration=round(1000 / rate), loop=0, optimize=True
        )


def name_of(trained: Trained) -> str:
    """Return <environment>-<policy>, and the algorithm where it is not NPG."""
    config = trained.config
    other = "" if config.algorithm == "npg" else f"-{config.algorithm}"
    return f"{file_name(config.env)}-{config.policy}{other}"


def command_of(trained: Trained) -> str:
    """Return how the policy was trained: what the record beside it says, or the config's main fields."""
    record = trained.path.with_suffix(".json")
    if trained.path.suffix == ".npz" and record.exists():
        command = json.loads(record.read_text("utf-8")).get("command")
        if command:
            return str(command)
    config = trained.config
    words = ["fastfisher", "train", config.env, "--policy", config.policy, "--steps", str(config.steps)]
    return shlex.join([*words, "--seed", str(config.seed)])


def show(path: Path, folder: Path, seed: int, gif: bool) -> dict[str, Any]:
    """Write the images of one policy; return its entry of gallery.json."""
    trained = load(path)
    name = name_of(trained)
    rate = MOVING * IMAGES / SECONDS if gif else IMAGES / SECONDS
    shot = film(trained, seed, rate)
    folder.mkdir(parents=True, exist_ok=True)
    every = MOVING if gif else 1
    with replacing(folder / f"{name}.png") as temporary:
        strip(shot.images[::every]).save(temporary, optimize=True)
    if gif:
        write_gif(shot.images, rate, folder / f"{name}.gif")
    return {
        "name": name,
        "env": trained.config.env,
        "policy": trained.config.policy,
        "algorithm": trained.config.algorithm,
        "seed": trained.config.seed,
        "steps": trained.steps,
        "command": command_of(trained),
        "return": round(shot.episode_return, 1),
        "length": shot.length,
        "gif": gif,
    }


def page(entries: Sequence[dict[str, Any]], folder: Path, out: Path) -> str:
    """Return the Markdown page of the gallery's entries, its links as from ``out``."""
    beside = out.resolve().parent
    videos = Path(os.path.relpath(ROOT / "docs" / "how-to" / "record-videos.md", beside)).as_posix()
    lines = [
        "# Gallery",
        "",
        "See what the policies of the tables do, and by which command each was trained.",
        "",
        f"Of {EPISODES} episodes of each trained policy, by its most likely actions, the one of the median",
        f"return: eight images from second {FIRST_SECOND:.0f} to second {FIRST_SECOND + SECONDS:.0f}. "
        "Made by `python benchmarks/experiments gallery`;",
        f"[Record videos]({videos}) has what drawing needs. The return is that of the whole episode",
        "shown; the tables have the means.",
    ]
    for entry in entries:
        image = Path(os.path.relpath((folder / entry["name"]).resolve(), beside)).as_posix()
        title = f"{entry['env']}, {entry['policy']}"
        moving = f" ([moving]({image}.gif))" if entry["gif"] else ""
        lines += [
            "",
            f"## {title}",
            "",
            f"![{title}]({image}.png)",
            "",
            f"Seed {entry['seed']}, {entry['steps']:,} steps of {entry['algorithm'].upper()}; return "
            f"{entry['return']:,} in {entry['length']:,} steps{moving}.",
            "",
            f"    {quoted(entry['command'])}",
        ]
    return "\n".join(lines) + "\n"


def exported_policies(results: Path) -> list[Path]:
    """Return the exported policies that benchmarks/learning.py keeps, the paper's rows first."""
    found = sorted(results.glob("learning/**/*.npz"))
    return sorted(found, key=lambda path: "paper" not in path.parts)


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(
        prog="python benchmarks/experiments gallery",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words.add_argument("policies", nargs="*", type=Path, help="run folders, checkpoints, exported policies")
    words.add_argument("--seed", type=int, default=0, help="of the episode")
    words.add_argument("--gif", action="store_true", help="write a moving image, too")
    words.add_argument("--out", type=Path, default=GALLERY)
    words.add_argument("--page", type=Path, default=PAGE)
    return words


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    index = options.out / "gallery.json"
    entries = {entry["name"]: entry for entry in json.loads(index.read_text())} if index.exists() else {}
    try:
        paths = options.policies or exported_policies(RESULTS)
        if not paths:
            raise UserError(f"there is no exported policy below {RESULTS / 'learning'}: name some")
        chosen: dict[str, Path] = {}
        for path in paths:  # of several of one environment and policy, the first
            chosen.setdefault(name_of(load(path)), path)
        # Each in a process of its own: graphics of an environment that was closed spoil those of the next.
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            for name, path in chosen.items():
                entries[name] = pool.apply(show, (path, options.out, options.seed, options.gif))
                kilobytes = (options.out / f"{name}.png").stat().st_size / 1000
                episode_return = entries[name]["return"]
                print(f"{name:<32} return {episode_return:>9,.1f}   {kilobytes:.0f} kB", flush=True)
    except (UserError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    ordered = [entries[name] for name in sorted(entries)]
    write_json(index, ordered)
    options.page.parent.mkdir(parents=True, exist_ok=True)
    with replacing(options.page) as temporary:
        temporary.write_text(page(ordered, options.out, options.page), "utf-8")
    print(options.page)
    return 0
