"""A plan as text."""

from magvit3d.plan.plan import Plan, StagePlan


def to_text(plan: Plan) -> str:
  """Returns what a plan says, for a terminal."""
  memory = _size(plan.memory_bytes) if plan.memory_bytes else "unknown memory"
  lines = [f"{plan.num_devices} x {plan.device.partition(':')[0]}, {memory}"]
  for name, stage in plan.stages.items():
    lines += ["", f"{name}: {stage.batch_size} clips a step"]
    lines += [f"  {head:<22} {text}" for head, text in _rows(stage)]
  hours = plan.least_hours
  if hours is not None:
    lines += ["", f"All steps: at least {hours:.2f} h, evaluation not counted"]
    cost = plan.to_json()["least_cost"]
    if cost is not None:
      lines[-1] += f"; {cost:.2f} at {plan.price:g} a device and hour"
  unsure = [name for name, stage in plan.stages.items() if stage.fits is False]
  if unsure:
    lines += ["", f"DOES NOT FIT: {', '.join(unsure)}."]
  return "\n".join(lines)


def _rows(stage: StagePlan) -> list[tuple[str, str]]:
  used = stage.state_bytes + stage.temporary_bytes
  fits = {True: ", fits", False: ", DOES NOT FIT", None: ""}[stage.fits]
  rows = [
    ("parameters", f"{stage.parameters:,}"),
    ("FLOPs", f"{stage.flops:.3g} on all devices"),
    (
      "memory of a device",
      f"{_size(used)}{fits} ({_size(stage.state_bytes)} of state)",
    ),
  ]
  if stage.largest_batch is not None:
    rows.append(("largest batch, about", f"{stage.largest_batch} clips"))
  moved = _size(stage.collective_bytes)
  if stage.largest_collective:
    largest = stage.largest_collective
    moved += (
      f"; the largest is {_size(largest['bytes'])}, "
      f"{largest['operation']} of {largest['type'][:60]}"
    )
  rows.append(("devices send", moved))
  if stage.bound_s is not None:
    share = stage.products_s / stage.bound_s
    rows.append(
      (
        "time, at least",
        f"{stage.bound_s * 1e3:.1f} ms, {100 * share:.0f} % of it products",
      )
    )
  for kind, seconds in list(stage.longest_s.items())[:4]:
    rows.append(
      (f"  {kind.removeprefix('__cudnn$')[:20]}", f"{seconds * 1e3:.2f} ms")
    )
  if stage.least_hours is not None:
    rows.append(
      ("stage, at least", f"{stage.least_hours:.2f} h, {stage.num_steps} steps")
    )
  return rows


def _size(num_bytes: int | float) -> str:
  for unit in ("B", "KiB", "MiB"):
    if num_bytes < 1024:
      return f"{num_bytes:.3g} {unit}"
    num_bytes /= 1024
  return f"{num_bytes:.2f} GiB"
