"""Train CartPole by NPG, keep the best policy of the run, save it and play it by NumPy alone.

python examples/train_cartpole.py [STEPS]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import gymnasium

import fastfisher as ff
from fastfisher.exported import NumpyPolicy
from fastfisher.runs.export import export_policy
from fastfisher.training import IterationInfo

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 60_000


def show(info: IterationInfo) -> None:
    print(f"{info.steps:>8,} steps, return {info.return_mean:6.1f}, KL {info.kl_achieved:.4f}, {info.solver}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        best, exported = Path(folder) / "best.zip", Path(folder) / "policy.npz"
        agent = ff.NPG("CartPole-v1", seed=0, evaluate_every=2, evaluation_episodes=5)
        agent.learn(STEPS, callback=show, keep_best=best)
        agent.close()

        agent = ff.NPG.load(best)
        evaluation = agent.evaluate(20)
        print(f"best policy: {evaluation.mean:.1f} +- {evaluation.std:.1f} over 20 episodes")
        export_policy(agent, exported)

        policy, env = NumpyPolicy.load(exported), gymnasium.make("CartPole-v1")
        observation, _ = env.reset(seed=1)
        total, done = 0.0, False
        while not done:
            observation, reward, terminated, truncated, _ = env.step(policy.predict(observation))
            total, done = total + float(reward), terminated or truncated
        print(f"an episode by NumPy alone: {total:.0f}")


if __name__ == "__main__":
    main()
