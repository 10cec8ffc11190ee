"""Everything between pixels and transformer: vocabulary, masks, tasks, decoding."""
