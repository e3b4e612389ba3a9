"""Speed of latent optimization, and CT and MRI by a GAN: `python -m benchmarks.latent`."""
