"""data_gen stays light: it pulls in no machine learning library."""

import subprocess
import sys


def test_importing_data_gen_imports_no_heavy_library():
  program = (
    "import sys, data_gen.generate, data_gen.beam\n"
    "import data_gen.records.scene_source\n"
    "heavy = {'jax', 'flax', 'magvit3d', 'tensorflow', 'tensorflow_datasets',"
    " 'grain', 'array_record', 'apache_beam', 'matplotlib'}\n"
    "print(sorted(heavy & set(sys.modules)))"
  )
  found = subprocess.run(
    [sys.executable, "-c", program], capture_output=True, text=True, check=True
  )
  assert found.stdout.strip() == "[]"
