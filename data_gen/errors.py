"""The error that missing or damaged data cause."""


class DataError(ValueError):
  """Data cannot be read: missing, damaged, or of another kind.

  The programs of magvit3d and data_gen print it without a traceback.
  """
