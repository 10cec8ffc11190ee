"""Does an object stay, or will it pass? Told early, by what was seen so far."""
