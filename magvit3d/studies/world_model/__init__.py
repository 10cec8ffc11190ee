"""A world model with actions, trained beside a convolutional LSTM."""

from magvit3d.studies.world_model.trained_world_model import WorldModel

__all__ = ["WorldModel"]
