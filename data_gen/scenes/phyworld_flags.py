"""Which flags of `python -m data_gen` go with PhyWorld's presets."""

import dataclasses
from typing import Any

from data_gen import schema
from data_gen.scenes import cues, phyworld_laws

# Of the presets, where a flag has the default of all presets.
OWN: dict[str, Any] = {
  "size_min": phyworld_laws.RADII[0][0],
  "size_max": phyworld_laws.RADII[0][1],
  "position_noise": 0.0,
  "background": "1,1,1",
}
# Flags of these presets alone.
ONLY_HERE = ("num_ood_size", "num_ood_size_speed", f"num_{cues.SPLIT}", "cues")
_FREE = {
  *ONLY_HERE,
  "preset",
  "output_dir",
  "file_format",
  "num_train",
  "num_validation",
  "num_test",
  "num_ood_speed",
  "seed",
  "image_size",
  "num_frames",
  "scenes_per_shard",
  "num_workers",
  "preview",
}


def check(
  values: dict[str, Any], fields: tuple[dataclasses.Field, ...]
) -> None:
  """Checks that flags go with the preset.

  Args:
    values: Of the flags, by name.
    fields: Those of `DatasetOptions`.

  Raises:
    ValueError: One does not; the message names it.
  """
  preset = values["preset"]
  is_phyworld = preset.startswith(schema.PHYWORLD)
  for field in fields:
    name, value = field.name, values.get(field.name)
    is_free = name in _FREE if is_phyworld else name not in ONLY_HERE
    if is_free or value in (field.default, OWN.get(name, field.default)):
      continue
    raise ValueError(
      f"--{name}={value} has no meaning for --preset={preset}: drop it."
    )
  names = cues.parse(values["cues"])
  num_swapped = values[f"num_{cues.SPLIT}"]
  if num_swapped and not names:
    raise ValueError(
      f"--num_{cues.SPLIT}={num_swapped} needs --cues: the two that are tied "
      "in the other splits, such as color,shape."
    )
  if names and preset != "phyworld_uniform":
    raise ValueError(
      f"--cues={values['cues']} goes with --preset=phyworld_uniform, not with "
      f"--preset={preset}: drop it."
    )
  for name in ("num_ood_size", "num_ood_speed", "num_ood_size_speed"):
    if names and values[name]:
      raise ValueError(
        f"--{name}={values[name]} has no meaning with --cues="
        f"{values['cues']}: drop one of them."
      )
