#!/usr/bin/env bash
# Trains on flat shapes that data_gen draws: squares, circles and triangles that
# move over one image. From nothing to a report, in minutes on a CPU.
#
#   ./examples/train_shapes.sh [FLAGS OF magvit3d.main ...]
#
# Run again, it goes on where it stopped. PYTHON names the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

# Targets that take several cameras, or probes.
targets=()
for target in max_ade_over_copy_last max_ade_over_constant_velocity \
  motions_below_baselines max_tokenizer_ade_m min_sample_shape_accuracy \
  min_sample_motion_accuracy min_classifier_accuracy \
  min_probe_motion_accuracy probes_below_baselines; do
  targets+=("--config.evaluation.$target=None")
done
exec "${PYTHON:-python}" -m magvit3d.main --config=configs/traj3d.py:tiny \
  --workdir=runs/shapes \
  --config.data.preset=traj2d --config.data.num_train=1200 \
  --config.data.size_min=1.6 --config.data.size_max=2.0 \
  --config.data.path_scale_min=0.6 --config.data.path_scale_max=0.8 \
  --config.train_tokenizer.num_steps=500 \
  --config.train_transformer.num_steps=700 \
  --config.evaluation.num_probe_scenes=0 "${targets[@]}" "$@"
