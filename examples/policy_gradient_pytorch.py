"""REINFORCE with a baseline on CartPole-v1 in PyTorch, and the five lines that make its gradient natural.

    python policy_gradient_pytorch.py             natural gradient
    python policy_gradient_pytorch.py --plain     the same program with Adam, as it was before

The mean gradient that backward() leaves in .grad cannot give the Fisher matrix, which is made of the scores of
single samples; the optimizer captures them while the closure runs.
"""

from __future__ import annotations

import argparse

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical

import fastfisher.torch as fft


def collect(
    env: gym.Env, policy: nn.Module, steps: int, gamma: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[float]]:
    """Play whole episodes; return observations, actions, discounted returns and the episodes' rewards."""
    observations, actions, returns, totals = [], [], [], []
    while len(observations) < steps:
        obs, _ = env.reset()
        rewards, done = [], False
        while not done:
            observations.append(obs)
            with torch.no_grad():
                action = Categorical(logits=policy(torch.as_tensor(obs))).sample()
            obs, reward, terminated, truncated, _ = env.step(action.item())
            actions.append(action)
            rewards.append(float(reward))
            done = terminated or truncated
        togo = 0.0
        discounted = [togo := reward + gamma * togo for reward in reversed(rewards)]
        returns += reversed(discounted)
        totals.append(sum(rewards))
    return torch.as_tensor(np.array(observations)), torch.stack(actions), torch.tensor(returns), totals


def train(*, plain: bool = False, iterations: int = 30, steps: int = 1000, seed: int = 0) -> list[float]:
    """Train a policy; return the mean reward of each iteration's episodes."""
    torch.manual_seed(seed)
    env = gym.make("CartPole-v1")
    env.reset(seed=seed)
    policy = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 2))
    value = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))
    value_optimizer = torch.optim.Adam(value.parameters(), lr=1e-2)
    if plain:
        optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    else:
        optimizer = fft.NaturalGradient(policy, max_kl=0.01, damping=1e-3)
    history = []
    for iteration in range(iterations):
        obs, act, returns, totals = collect(env, policy, steps, gamma=0.99)
        advantages = returns - value(obs).squeeze(-1).detach()
        advantages = (advantages - advantages.mean()) / advantages.std()
        if plain:
            optimizer.zero_grad()
            loss = -(Categorical(logits=policy(obs)).log_prob(act) * advantages).mean()
            loss.backward()
            optimizer.step()
        else:

            def closure(obs=obs, act=act, advantages=advantages):
                pi = Categorical(logits=policy(obs))
                return pi.log_prob(act), advantages, pi

            optimizer.step(closure)
        for _ in range(20):  # the baseline of the next iteration
            value_optimizer.zero_grad()
            nn.functional.mse_loss(value(obs).squeeze(-1), returns).backward()
            value_optimizer.step()
        history.append(float(np.mean(totals)))
        print(f"iteration {iteration + 1:3d}  mean return {history[-1]:6.1f}")
    return history


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plain", action="store_true", help="Adam on the plain policy gradient")
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train(plain=arguments.plain, iterations=arguments.iterations, seed=arguments.seed)
