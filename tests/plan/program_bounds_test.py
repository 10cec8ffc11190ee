"""Tests of what a compiled program takes, read from its text."""

import pytest

from magvit3d.plan import program_bounds

_PROGRAM = """HloModule jit_run

%fused_add (p0: f32[8,4]) -> f32[8,4] {
  %p0 = f32[8,4]{1,0} parameter(0)
  ROOT %sum = f32[8,4]{1,0} add(%p0, %p0)
}

%body (state: (f32[8,4])) -> (f32[8,4]) {
  %state = (f32[8,4]{1,0}) parameter(0)
  %value = f32[8,4]{1,0} get-tuple-element(%state), index=0
  %loop_add_fusion.1 = f32[8,4]{1,0} fusion(%value), kind=kLoop, calls=%fused_add
  ROOT %out = (f32[8,4]{1,0}) tuple(%loop_add_fusion.1)
}

%condition (state: (f32[8,4])) -> pred[] {
  %state.2 = (f32[8,4]{1,0}) parameter(0)
  ROOT %go = pred[] constant(false)
}

ENTRY %main (a: bf16[16,32], b: bf16[32,64], c: f32[8,4]) -> (f32[8,4]) {
  %a = bf16[16,32]{1,0} parameter(0)
  %b = bf16[32,64]{1,0} parameter(1)
  %c = f32[8,4]{1,0} parameter(2)
  %product = bf16[16,64]{1,0} custom-call(%a, %b), custom_call_target="__cublas$gemm", backend_config={"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"]}}
  %start = (f32[8,4]{1,0}) tuple(%c)
  ROOT %loop = (f32[8,4]{1,0}) while(%start), condition=%condition, body=%body
}
"""  # noqa: E501


@pytest.mark.parametrize("num_rounds", [None, 5])
def test_products_and_bytes_are_counted(num_rounds):
  program = _PROGRAM
  if num_rounds:
    told = f', backend_config={{"known_trip_count":{{"n":"{num_rounds}"}}}}'
    program = program.replace("body=%body", f"body=%body{told}")
  bounds = program_bounds.read(program)
  assert bounds.flops == 2 * 16 * 64 * 32
  product_bytes = 2 * (16 * 64 + 16 * 32 + 32 * 64)
  loop_bytes = 2 * 8 * 4 * 4 * (num_rounds or 1)
  assert bounds.moved_bytes == product_bytes + loop_bytes
  assert bounds.calls == {"__cublas$gemm": 1}
  assert bounds.seconds["loop_add_fusion"] == pytest.approx(
    loop_bytes / program_bounds.BYTES_PER_SECOND
  )


def test_scratch_memory_of_a_call_is_not_moved():
  plain = "%product = bf16[16,64]{1,0} custom-call"
  assert plain in _PROGRAM
  with_scratch = plain.replace(
    "bf16[16,64]{1,0}", "(bf16[16,64]{1,0}, s8[33554432]{0})"
  )
  assert program_bounds.read(
    _PROGRAM.replace(plain, with_scratch)
  ) == program_bounds.read(_PROGRAM)


def test_plain_convolutions_are_told():
  text = _PROGRAM.replace(
    "  %start =",
    "  %slow = f32[8,4]{1,0} convolution(%c, %c), dim_labels=bf_io->bf\n"
    "  %start =",
  )
  assert program_bounds.read(text).num_plain_convolutions == 1


def _with_array(body, result="f32[8,4]"):
  """The program, whose fusion has an array of 512 rows as second operand."""
  text = (
    _PROGRAM.replace(
      "  ROOT %sum = f32[8,4]{1,0} add(%p0, %p0)\n",
      "  %p1 = f32[512,4]{1,0} parameter(1)\n" + body,
    )
    .replace(
      "%loop_add_fusion.1 = f32[8,4]{1,0} fusion(%value)",
      f"%loop_add_fusion.1 = {result}{{1,0}} fusion(%value, %many)",
    )
    .replace(
      "  %loop_add_fusion.1 =",
      "  %many = f32[512,4]{1,0} get-tuple-element(%state), index=1\n"
      "  %loop_add_fusion.1 =",
    )
  )
  assert body in text and "%value, %many" in text
  return text


def test_what_is_sliced_is_not_read_whole():
  """A fusion that adds one row of its second operand to the first."""
  text = _with_array(
    "  %rows = f32[8,4]{1,0} slice(%p1), slice={[64:72], [0:4]}\n"
    "  ROOT %sum = f32[8,4]{1,0} add(%p0, %rows)\n"
  )
  without, with_slice = map(program_bounds.read, (_PROGRAM, text))
  assert with_slice.moved_bytes - without.moved_bytes == 8 * 4 * 4
  whole = text.replace("add(%p0, %rows)", "add(%rows, %p1)")
  assert program_bounds.read(whole).moved_bytes > 512 * 4 * 4


def test_a_part_that_is_written_is_not_the_whole_array():
  """A loop that adds its rows up and puts each sum into an array."""
  put = (
    "  %zero = s32[] constant(0)\n"
    "  %sum = f32[8,4]{1,0} add(%p0, %p0)\n"
    "  ROOT %put = f32[512,4]{1,0} dynamic-update-slice(%p1, %sum, %zero, "
    "%zero)\n"
  )
  text = _with_array(put, "f32[512,4]")
  without, with_part = map(program_bounds.read, (_PROGRAM, text))
  # It reads 8 rows and writes 8, as it did where they were all.
  assert with_part.moved_bytes == without.moved_bytes
  # Beside another result.
  both = text.replace("ROOT %put", "%put").replace(
    "%zero)\n",
    "%zero)\n  ROOT %both = (f32[512,4]{1,0}, f32[8,4]{1,0}) tuple(%put, "
    "%sum)\n",
  )
  found = program_bounds.read(both)
  assert found.moved_bytes - without.moved_bytes == 8 * 4 * 4
