"""Between pixels and transformer: vocabulary, masks, tasks, decoding."""
