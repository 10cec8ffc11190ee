"""Short moving pictures: GIF, WebP and MP4."""
