"""Which shards a data set has, and which scenes are in each."""

import abc

from data_gen import schema


class ShardPlan(abc.ABC):
  """What data sets share that are written in shards.

  Attributes:
    preset: Name of the data set.
    file_format: See `schema.shard_name`.
    scenes_per_shard: Scenes of a full shard.
  """

  preset: str
  file_format: str
  scenes_per_shard: int

  @abc.abstractmethod
  def num_scenes(self, split: str) -> int:
    """Returns the number of scenes of a split."""

  def num_shards(self, split: str) -> int:
    """Returns the number of shards of a split; 0 for an empty one."""
    return -(-self.num_scenes(split) // self.scenes_per_shard)

  def shard_name(self, split: str, shard: int) -> str:
    """Returns the file name of a shard of a split."""
    return schema.shard_name(
      self.preset, split, self.file_format, shard, self.num_shards(split)
    )

  def shard_scenes(self, split: str, shard: int) -> range:
    """Returns the numbers of the scenes in a shard of a split."""
    first = shard * self.scenes_per_shard
    return range(
      first, min(first + self.scenes_per_shard, self.num_scenes(split))
    )
