"""Files of priors: this package's own, `checkpoints`, and diffusion models that others have published.

`invgen.priors.load`, in `loading`, recognizes the layout of a published file by the names of its tensors:

- "guided-diffusion", the U-Nets of Dhariwal and Nichol (2021), `invgen.priors.files.guided_diffusion`;
- "score_sde", NCSN++ and DDPM++ of Song et al. (2021), `invgen.priors.files.score_sde`;
- "edm", the networks of Karras et al. (2022) as safetensors, `invgen.priors.files.edm`;
- "diffusers", folders and pipelines of that library, `invgen.priors.files.diffusers_folder`.

The shapes of the tensors give the size of a network. What they do not give, such as the schedule of its
noise, is taken from keyword arguments of `load`, else from a JSON file of the same name beside the weights,
else it is as in most published models; each reader says which.
"""
