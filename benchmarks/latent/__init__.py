"""Latent optimization and sampling beside penalties and diffusion: `python -m benchmarks.latent`."""
