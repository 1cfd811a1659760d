"""Use of trained models: predictions, features, samples of generators, latents of autoencoders."""
