"""Diffusion models that others have published, in the layout of their files.

`invgen.priors.load` comes here for what is no file of this package, and recognizes whose it is by the names
of its tensors:

- "guided-diffusion", the U-Nets of Dhariwal and Nichol (2021), `invgen.priors.files.guided_diffusion`;
- "score_sde", NCSN++ and DDPM++ of Song et al. (2021), `invgen.priors.files.score_sde`;
- "edm", the networks of Karras et al. (2022) as safetensors, `invgen.priors.files.edm`;
- "diffusers", folders and pipelines of that library, `invgen.priors.files.diffusers_folder`.

The shapes of the tensors say how large a network is. What they do not say, such as the schedule of its noise,
is taken from keyword arguments of `load`, else from a JSON file of the same name beside the weights, else as
most published models have it; each reader says which.
"""

from invgen.priors.files.published import downloaded, is_hub_name, load

__all__ = ["downloaded", "is_hub_name", "load"]
