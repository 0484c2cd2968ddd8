"""Natural policy gradients for Stable-Baselines3: drop-ins for the TRPO of SB3-contrib.

    from fastfisher.sb3 import TRPO

    TRPO("MlpPolicy", "HalfCheetah-v5").learn(1_000_000)

`NPG` and `TRPO` take SB3-contrib's constructor arguments, policies, vector environments, callbacks, loggers
and files; needs the extra ``fastfisher[sb3]``.
"""

from __future__ import annotations

try:
    import stable_baselines3 as _stable_baselines3
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "fastfisher.sb3 needs Stable-Baselines3: python -m pip install 'fastfisher[sb3]'", name=error.name
    ) from error

from stable_baselines3.common.policies import ActorCriticCnnPolicy as CnnPolicy
from stable_baselines3.common.policies import ActorCriticPolicy as MlpPolicy
from stable_baselines3.common.policies import MultiInputActorCriticPolicy as MultiInputPolicy

from .algorithms import NPG, TRPO

del _stable_baselines3

__all__ = ["NPG", "TRPO", "CnnPolicy", "MlpPolicy", "MultiInputPolicy"]
