"""Folders of diffusers, against the library itself."""

import json

import pytest
import torch

import invgen as ig
from invgen.core.errors import FileError, ParameterError

diffusers = pytest.importorskip("diffusers", reason="pip install 'invgen[diffusers]'")
try:
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
except (ImportError, RuntimeError) as error:  # such as for a torchvision that does not fit torch
    pytest.skip(f"diffusers cannot be imported: {error}", allow_module_level=True)


def unet(**changes):
    torch.manual_seed(0)
    options = {
        "sample_size": 8,
        "in_channels": 3,
        "out_channels": 3,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 8,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    return UNet2DModel(**{**options, **changes}).eval()


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("predicted", ["epsilon", "v_prediction", "sample"])
def test_a_pipeline_denoises_as_its_scheduler_does(tmp_path, images, schedule, predicted):
    network = unet()
    scheduler = DDPMScheduler(beta_schedule=schedule, prediction_type=predicted, clip_sample=False)
    DDPMPipeline(network, scheduler).save_pretrained(tmp_path / "pipeline")
    prior = ig.priors.load(tmp_path / "pipeline")
    kept = scheduler.alphas_cumprod[300]
    seen = kept.sqrt() * (2 * images - 1)
    with torch.no_grad():
        made = network(seen, 300).sample
    ddim = diffusers.DDIMScheduler.from_config(scheduler.config)  # its step returns the image it expects
    ddim.set_timesteps(1000)
    exact = ddim.step(made, 300, seen).pred_original_sample
    sigma = float(((1 - kept) / kept).sqrt())
    assert torch.allclose(2 * prior.denoise(images, sigma / 2) - 1, exact, rtol=1e-4, atol=1e-4)
    assert prior.image_format.shape == (3, 8, 8)


def test_a_network_alone_takes_its_scheduler_from_the_settings(tmp_path, images):
    network = unet(num_class_embeds=3)
    network.save_pretrained(tmp_path / "unet")
    prior = ig.priors.load(tmp_path / "unet", scheduler={"prediction_type": "sample"})
    with pytest.raises(ParameterError, match="of_class"):
        prior.denoise(images, 0.5)
    sigmas = (1 / torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0) - 1).sqrt()
    sigma = float(sigmas[500])
    with torch.no_grad():
        exact = network((2 * images - 1) / (1 + sigma**2) ** 0.5, 500, torch.tensor([1, 1])).sample
    found = prior.of_class(1).denoise(images, sigma / 2)
    assert torch.allclose(2 * found - 1, exact, rtol=1e-4, atol=1e-4)
    with pytest.raises(ParameterError, match="'velocity'"):
        ig.priors.load(tmp_path / "unet", scheduler={"prediction_type": "velocity"})


def test_score_sde_pipelines_see_the_unit_interval(tmp_path, images):
    network = unet(time_embedding_type="fourier", center_input_sample=True)
    scheduler = diffusers.ScoreSdeVeScheduler(sigma_min=0.01, sigma_max=50.0)
    # as such pipelines were saved; the library has no class for them any more
    network.save_pretrained(tmp_path / "pipeline" / "unet")
    scheduler.save_pretrained(tmp_path / "pipeline" / "scheduler")
    (tmp_path / "pipeline" / "model_index.json").write_text(json.dumps({"_class_name": "ScoreSdeVePipeline"}))
    prior = ig.priors.load(tmp_path / "pipeline")
    with torch.no_grad():
        score = network(images, torch.tensor([0.7, 0.7])).sample
    assert torch.allclose(prior.denoise(images, 0.7), images + 0.49 * score, rtol=1e-4, atol=1e-5)
    assert prior.sigma_range == pytest.approx((0.02, 100.0))


def test_flows_get_a_thousand_times_their_share_of_noise(tmp_path, images):
    network = unet()
    network.save_pretrained(tmp_path / "unet")
    prior = ig.priors.load(tmp_path / "unet", scheduler={"_class_name": "FlowMatchEulerDiscreteScheduler"})
    sigma, x = 1.0, 2 * images - 1
    with torch.no_grad():
        velocity = network(x / 2, torch.tensor([500.0, 500.0])).sample
    exact = x / 2 - velocity / 2
    assert torch.allclose(2 * prior.denoise(images, sigma / 2) - 1, exact, rtol=1e-4, atol=1e-5)


def test_folders_that_cannot_be_read_say_why(tmp_path):
    with pytest.raises(FileError, match=r"config\.json"):
        ig.priors.load(tmp_path)
    unet().save_pretrained(tmp_path / "old", safe_serialization=False)
    with pytest.raises(FileError, match="safetensors"):
        ig.priors.load(tmp_path / "old")
    unet().save_pretrained(tmp_path / "unet")
    config = tmp_path / "unet" / "config.json"
    config.write_text(config.read_text().replace('"UNet2DModel"', '"AutoencoderKL"'))
    with pytest.raises(FileError, match="AutoencoderKL"):
        ig.priors.load(tmp_path / "unet")
    with pytest.raises(FileError, match="give the folder"):
        ig.priors.load(tmp_path / "unet" / "diffusion_pytorch_model.safetensors")
