"""The error that missing or damaged data cause."""


class DataError(ValueError):
  """Data on disk are missing or damaged; the message says where.

  The programs of magvit3d and data_gen print it without a traceback.
  """
