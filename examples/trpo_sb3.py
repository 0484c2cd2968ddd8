"""TRPO of Stable-Baselines3's interface, by the empirical Fisher matrix and by the exact one, on CartPole.

python examples/trpo_sb3.py [STEPS]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv

from fastfisher.sb3 import TRPO

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for fisher in ("empirical", "exact"):
            model = TRPO("MlpPolicy", "CartPole-v1", seed=0, fisher=fisher).learn(STEPS)
            path = Path(folder) / f"{fisher}.zip"
            model.save(path)

            # The zip opens in sb3_contrib.TRPO, too, and the reverse.
            loaded = TRPO.load(path)
            env = model.get_env()
            assert isinstance(env, DummyVecEnv)
            mean, std = evaluate_policy(loaded, env, n_eval_episodes=10)
            print(f"{fisher:9} Fisher matrix: {mean:5.1f} +- {std:.1f} after {model.num_timesteps:,} steps")


if __name__ == "__main__":
    main()
