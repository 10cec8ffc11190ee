"""What a run will take on devices that may not be here."""
