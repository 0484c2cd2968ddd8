"""Names that have moved work from their old places, and say so."""

from __future__ import annotations

import importlib

import pytest

pytest.importorskip("gymnasium")

MOVED = [
    ("fastfisher.config", "fastfisher.training.config", "TrainConfig"),
    ("fastfisher.presets", "fastfisher.training.presets", "completed"),
    ("fastfisher.training.export", "fastfisher.runs.export", "export_policy"),
    ("fastfisher.policies", "fastfisher.training.make_policy", "make_policy"),
    ("fastfisher.policies", "fastfisher.training.make_policy", "config_name"),
]


@pytest.mark.parametrize(("old", "new", "name"), MOVED)
def test_an_old_place_gives_the_same_object_with_a_warning(old: str, new: str, name: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"{old}.{name} has moved to {new}.{name}"):
        found = getattr(importlib.import_module(old), name)
    assert found is getattr(importlib.import_module(new), name)


@pytest.mark.parametrize("old", sorted({old for old, _, _ in MOVED}))
def test_what_was_never_there_is_not_there(old: str) -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        importlib.import_module(old).no_such_name  # noqa: B018
