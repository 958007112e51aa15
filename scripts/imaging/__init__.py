"""The parts of scripts/images: what is built, by what, and for which cluster."""
