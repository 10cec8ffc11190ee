"""Variants of a config: what stands after the colon of `--config`."""

from collections.abc import Sequence


def check(name: str, variant: str, variants: Sequence[str]) -> None:
  """Raises ValueError for a variant that a config has not.

  Args:
    name: Of the file, without its end.
    variant: Asked for.
    variants: Those it has.
  """
  if variant not in variants:
    raise ValueError(
      f"configs/{name}.py has no variant {variant!r}; it has "
      f"{', '.join(variants)}."
    )
