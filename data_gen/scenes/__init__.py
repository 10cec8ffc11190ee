"""Scenes by their laws: which objects move how, and before which cameras."""
