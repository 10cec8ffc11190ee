"""Networks, clips and tokens in files for other programs."""
