"""A world model with actions, trained beside a convolutional LSTM."""
