"""Depth, normals and segments by networks of the hub: here small and random ones, of the same classes, in folders."""

import logging

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from visualcloze_nb import photos
from visualcloze_nb.annotate import annotate, depth, kinds, segments
from visualcloze_nb.annotate.weights import NO_DOWNLOAD
from visualcloze_nb.errors import ModelError, UsageError

pytest.importorskip("cv2", reason="OpenCV is not installed: python -m pip install -e '.[test]'")

PHOTO = photos.load("cat")
IMAGE = np.asarray(PHOTO)
STAGES = [f"stage{number}" for number in range(1, 5)]


def depth_network():
    backbone = transformers.Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        out_features=STAGES,
        reshape_hidden_states=False,
    )
    small = {"reassemble_hidden_size": 16, "neck_hidden_sizes": [8] * 4, "fusion_hidden_size": 8, "head_hidden_size": 8}
    config = transformers.DepthAnythingConfig(backbone_config=backbone, **small)
    processor = {"size": {"height": 56, "width": 56}, "keep_aspect_ratio": True, "ensure_multiple_of": 14}
    return transformers.DepthAnythingForDepthEstimation(config), transformers.DPTImageProcessor(**processor)


def class_network(classes=150):
    backbone = transformers.ConvNextConfig(depths=[1] * 4, hidden_sizes=[8] * 4, out_features=STAGES)
    config = transformers.UperNetConfig(
        backbone_config=backbone, hidden_size=16, num_labels=classes, use_auxiliary_head=False, pool_scales=[1, 2]
    )
    processor = transformers.SegformerImageProcessor(size={"height": 64, "width": 64})
    return transformers.UperNetForSemanticSegmentation(config), processor


def segment_network(side=128):
    stages = {"embed_dim_per_stage": [8, 16, 32, 64], "blocks_per_stage": [1, 1, 2, 1]}
    windows = {"window_size_per_stage": [4, 4, 4, 2], "window_positional_embedding_background_size": [2, 2]}
    backbone = {"model_type": "sam2_hiera_det_model", "hidden_size": 8, "image_size": [side, side]}
    backbone |= {"num_attention_heads_per_stage": [1] * 4, "global_attention_blocks": [3], **stages, **windows}
    sizes = [[side // step, side // step] for step in (4, 8, 16)]
    config = transformers.Sam2Config(
        vision_config={
            "backbone_config": backbone,
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": sizes,
            "fpn_hidden_size": 16,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": side, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )
    network = transformers.Sam2Model(config)
    for parameter in network.parameters():  # the default start is all but zero: every point would give the same mask
        torch.nn.init.normal_(parameter, std=0.3)
    return network, None


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """One folder a network, as `save_pretrained` writes it."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    root = tmp_path_factory.mktemp("hub")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = {"DEPTH": depth_network(), "UNIFORMER": class_network(), "SAM2": segment_network()}
        made["FEW"] = class_network(3)
    for name, (network, processor) in made.items():
        network.save_pretrained(root / name)
        if processor is not None:
            processor.save_pretrained(root / name)
    return root


@pytest.fixture
def networks(folders, monkeypatch):
    for name in ("DEPTH", "UNIFORMER", "SAM2"):
        monkeypatch.setenv(f"VISUALCLOZE_NB_{name}_MODEL", str(folders / name))
    return folders


@pytest.mark.parametrize("kind", ["depth", "normal", "sam2", "uniformer"])
def test_through_annotate(networks, kind):
    assert kinds()[kind].works
    for image in (PHOTO, PHOTO.convert("L").resize((40, 90))):
        result = annotate(image, kind)
        assert result.size == image.size and result.mode == "RGB"
        assert np.array_equal(result, annotate(image, kind))


def test_depth_is_that_of_transformers_pipeline(networks):
    theirs = transformers.pipeline("depth-estimation", model=str(networks / "DEPTH"), device="cpu")(PHOTO)
    difference = depth.depth(IMAGE).astype(int) - np.asarray(theirs["depth"])
    assert np.abs(difference).max() <= 1  # theirs is cut off, ours is rounded
    assert np.ptp(depth.depth(IMAGE)) == 255


def test_normals_of_a_slope_a_ball_and_the_far_background():
    height, width = 100, 200
    slope = np.linspace(0.2, 1, width, dtype=np.float32)[None].repeat(height, 0)
    x, y, z = depth.normals_from_nearness(slope)[50, 100] / 127.5 - 1
    rise = depth.RELIEF * height * 0.8 / (width - 1)  # nearness that counts as RELIEF shorter sides, a pixel
    assert (x / z, y) == pytest.approx((rise, 0), abs=0.03)
    down, right = np.mgrid[-1:1:201j, -1:1:201j]
    ball = 0.2 + 0.8 * np.sqrt(np.clip(1 - down**2 - right**2, 0, None))
    normals = depth.normals_from_nearness(ball)
    assert normals[100, 100].tolist() == [128, 128, 255]  # facing the viewer
    assert normals[100, 50, 0] > 170 and normals[100, 150, 0] < 85  # nearer to the right, then farther
    assert normals[50, 100, 1] > 170 and normals[150, 100, 1] < 85  # nearer downwards, then farther
    assert (depth.normals_from_nearness(ball - 0.2)[:10, :10] == (128, 128, 255)).all()


def test_a_depth_without_differences_is_black_and_flat():
    assert (depth.normals_from_nearness(np.zeros((5, 7))) == (128, 128, 255)).all()


def test_classes_are_those_of_transformers_in_the_colours_of_ade20k(networks):
    network = transformers.UperNetForSemanticSegmentation.from_pretrained(networks / "UNIFORMER").eval()
    processor = transformers.AutoImageProcessor.from_pretrained(networks / "UNIFORMER")
    with torch.inference_mode():
        found = network(**processor(images=PHOTO, return_tensors="pt"))
    (classes,) = processor.post_process_semantic_segmentation(found, target_sizes=[IMAGE.shape[:2]])
    assert len(classes.unique()) > 3
    assert np.array_equal(segments.uniformer(IMAGE), segments.ADE20K[classes.numpy()])


def test_colours_of_ade20k():
    wall, sky, person = segments.ADE20K[[0, 2, 12]].tolist()
    assert (wall, sky, person) == ([120, 120, 120], [6, 230, 230], [150, 5, 61])
    assert len(np.unique(segments.ADE20K, axis=0)) == 149  # floor's grey is used twice


def test_masks_are_sam2s_for_a_grid_of_points(networks, monkeypatch):
    """Without thresholds, on two points a side: the masks of a plain call with the same points."""
    monkeypatch.setattr(segments, "POINTS", 2)
    monkeypatch.setattr(segments, "MAX_OVERLAP", 1.0)
    found = segments.segments(IMAGE, min_iou=-1, min_stability=0)
    network = transformers.Sam2Model.from_pretrained(networks / "SAM2").eval()
    pixels = np.asarray(PHOTO.resize((128, 128), Image.Resampling.BILINEAR)) / 255
    pixels = torch.tensor((pixels - segments.MEAN) / segments.DEVIATION, dtype=torch.float32).permute(2, 0, 1)[None]
    points = torch.tensor([[[[32.0, 32.0]], [[96.0, 32.0]], [[32.0, 96.0]], [[96.0, 96.0]]]])
    with torch.inference_mode():
        plain = network(pixel_values=pixels, input_points=points, input_labels=torch.ones(1, 4, 1, dtype=torch.long))
    theirs = plain.pred_masks[0].flatten(0, 1)
    theirs = theirs[(theirs > 0).flatten(1).any(1)].numpy()
    assert len(found) == len(theirs) > 3
    assert all(min(np.abs(mask - other).max() for other in theirs) < 1e-4 for mask in found)


def test_overlapping_masks_are_one_and_each_has_its_colour(networks):
    every = segments.segments(IMAGE, min_iou=0, min_stability=0)
    assert 0 < len(every) < 3 * segments.POINTS**2
    assert segments.segments(IMAGE, min_iou=1.1) == []
    colours = np.unique(segments.sam2(IMAGE).reshape(-1, 3), axis=0)
    assert len(colours) <= len(segments.segments(IMAGE)) + 1  # and black


def test_another_number_of_classes_is_refused(folders):
    with pytest.raises(UsageError, match="has 3 classes: give one for ADE20K's 150"):
        segments.uniformer(IMAGE, model=str(folders / "FEW"))


@pytest.mark.parametrize("place", ["nobody/nothing-like-this", "no such/:folder", "/no/such/folder"])
def test_a_network_that_is_not_here_is_one_error(place, monkeypatch):
    monkeypatch.setenv("VISUALCLOZE_NB_DEPTH_MODEL", place)
    assert not kinds()["depth"].works  # HF_HUB_OFFLINE is set for all tests
    for network in (depth.DEPTH, segments.CLASSES):
        with pytest.raises(ModelError, match=f"set {network.variable} to the folder") as error:
            network.load(place)
        assert len(str(error.value)) <= 300


def test_a_network_of_another_class_is_one_error(folders):
    with pytest.raises(ModelError, match="cannot be loaded as AutoModelForDepthEstimation"):
        depth.depth(IMAGE, model=str(folders / "SAM2"))


def test_nothing_is_downloaded_where_that_is_not_wanted(monkeypatch):
    """By either variable; without both, the first call would download."""
    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: False)
    monkeypatch.delenv(NO_DOWNLOAD, raising=False)
    monkeypatch.setenv("VISUALCLOZE_NB_SAM2_MODEL", "nobody/nothing-like-this")
    assert kinds()["sam2"].works
    monkeypatch.setenv(NO_DOWNLOAD, "1")
    assert not kinds()["sam2"].works
    with pytest.raises(UsageError, match=f"unset HF_HUB_OFFLINE and {NO_DOWNLOAD}") as error:
        annotate(IMAGE, "sam2")
    assert len(str(error.value)) <= 300
