"""REINFORCE with a baseline on CartPole-v1 in PyTorch, and the five lines that make its gradient natural.

    python policy_gradient_pytorch.py           natural gradient
    python policy_gradient_pytorch.py --plain   the same with Adam and loss.backward(), as it was before

What backward() leaves in .grad is the mean of the samples' scores, and the Fisher matrix is made of each; the
optimizer captures them while its closure runs.
"""

from __future__ import annotations

import sys

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical

import fastfisher.torch as fft


def play(env: gym.Env, policy: nn.Module, steps: int) -> tuple[Tensor, Tensor, Tensor, list[float]]:
    """Play whole episodes; return observations, actions, discounted returns and each episode's reward."""
    observations, actions, returns, totals = [], [], [], []
    while len(observations) < steps:
        obs, _ = env.reset()
        rewards, done = [], False
        while not done:
            observations.append(obs)
            with torch.no_grad():
                actions.append(Categorical(logits=policy(torch.as_tensor(obs))).sample())
            obs, reward, terminated, truncated, _ = env.step(actions[-1].item())
            rewards.append(float(reward))
            done = terminated or truncated
        to_go = 0.0
        returns += reversed([to_go := reward + 0.99 * to_go for reward in reversed(rewards)])
        totals.append(sum(rewards))
    return torch.as_tensor(np.array(observations)), torch.stack(actions), torch.tensor(returns), totals


def train(*, plain: bool = False, iterations: int = 30, steps: int = 1000, seed: int = 0) -> list[float]:
    """Train until an iteration's mean reward is 475; return that of each iteration."""
    torch.manual_seed(seed)
    env = gym.make("CartPole-v1")
    env.reset(seed=seed)
    policy = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 2))
    baseline = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))
    baseline_optimizer = torch.optim.Adam(baseline.parameters(), lr=0.01)
    if plain:
        optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)
    else:
        optimizer = fft.NaturalGradient(policy, max_kl=0.01, damping=1e-3)
    history: list[float] = []
    while len(history) < iterations and (not history or history[-1] < 475.0):
        obs, act, returns, totals = play(env, policy, steps)
        advantages = returns - baseline(obs).detach().squeeze(1)
        advantages = (advantages - advantages.mean()) / advantages.std()
        if plain:
            optimizer.zero_grad()
            loss = -(Categorical(logits=policy(obs)).log_prob(act) * advantages).mean()
            loss.backward()
            optimizer.step()
        else:

            def closure(obs: Tensor = obs, act: Tensor = act, advantages: Tensor = advantages) -> object:
                return Categorical(logits=policy(obs)).log_prob(act), advantages

            optimizer.step(closure)
        for _ in range(20):  # for the next iteration: fitted to this one's returns, it would know the actions
            baseline_optimizer.zero_grad()
            nn.functional.mse_loss(baseline(obs).squeeze(1), returns).backward()
            baseline_optimizer.step()
        history.append(float(np.mean(totals)))
        print(f"iteration {len(history):2d}  mean return {history[-1]:5.1f}", flush=True)
    return history


if __name__ == "__main__":
    train(plain="--plain" in sys.argv[1:])
