"""Random streams as functions of (seed, purpose, iteration, episode): there is no state to keep."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence


class Stream(IntEnum):
    """What a stream is for: this is the first word of its spawn key, so streams never meet."""

    POLICY = 0
    EPISODE = 1
    VECTOR = 2
    EVALUATION = 3
    PREDICTION = 4
    BASELINE = 5
    ENVPOOL = 6
    EVALUATION_IN_TRAINING = 7


def stream(seed: int, purpose: Stream, *key: int) -> tuple[int, Generator]:
    """Return a seed for ``env.reset`` and a generator for the actions."""
    sequence = SeedSequence(entropy=seed, spawn_key=(int(purpose), *key))
    return int(sequence.generate_state(1, np.uint32)[0]), Generator(PCG64(sequence))
