"""Search spaces: encode, decode, sample, enumerate."""
