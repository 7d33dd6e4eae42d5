"""What is no image classifier: names, sizes, what is refused, and weights into norms that train."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from binarize import models
from binarize.errors import ModelError
from binarize.models.pretrained import load_frozen_norms


def test_every_task_is_listed_and_images_come_first() -> None:
    listings = models.list_models("torchvision/*")
    tasks = [listing.task for listing in listings]
    assert list(dict.fromkeys(tasks)) == ["classification", "detection", "segmentation", "video"]
    names = {listing.name: listing.task for listing in listings}
    assert names["torchvision/fasterrcnn_resnet50_fpn"] == "detection"
    assert names["torchvision/lraspp_mobilenet_v3_large"] == "segmentation"
    assert names["torchvision/mvit_v1_b"] == "video"
    assert not any("raft" in name or "quantized" in name for name in names)
    assert {listing.task for listing in models.list_models("resnet*")} == {"classification"}


@pytest.mark.parametrize("name", ["torchvision/raft_small", "quantized_resnet18"])
def test_what_is_not_supported_says_so(name: str) -> None:
    with pytest.raises(ModelError, match="binarize does not convert") as error:
        models.parse(name)
    assert error.value.hint


@pytest.mark.parametrize(
    ("name", "img_size", "mean"),
    [
        ("fasterrcnn_resnet50_fpn", 800, 0.0),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", 320, 0.0),
        ("ssd300_vgg16", 300, 0.0),
        ("fcn_resnet50", 520, 0.485),
        ("r3d_18", 112, 0.43216),
        ("s3d", 224, 0.43216),
    ],
)
def test_preprocessing(name: str, img_size: int, mean: float) -> None:
    preprocess = models.default_preprocess(f"torchvision/{name}")
    assert (preprocess.img_size, preprocess.mean[0]) == (img_size, mean)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("torchvision/ssdlite320_mobilenet_v3_large", "detection"),
        ("torchvision/lraspp_mobilenet_v3_large", "segmentation"),
        ("torchvision/r3d_18", "video"),
        ("torchvision/resnet18", "classification"),
        ("resnet18", "classification"),
    ],
)
def test_tasks_and_what_they_allow(name: str, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", pytest.fail)  # nothing is fetched
    fetched = models.fetch(name, pretrained=False, num_classes=7)
    assert models.task_of(fetched.model) == task
    allowed = {"classification": {"train", "evaluate", "export"}, "video": {"export"}}
    for doing in ("train", "evaluate", "export"):
        for subject in (fetched.model, fetched.spec):
            if doing in allowed.get(task, ()):
                models.require(doing, subject)
            else:
                with pytest.raises(ModelError, match=f"is a {task} network.*{doing}") as error:
                    models.require(doing, subject)
                assert error.value.hint


def test_a_detection_network_has_no_classifier_to_reset() -> None:
    model = models.create("torchvision/ssdlite320_mobilenet_v3_large")
    for call in (models.num_classes, lambda m: models.reset_classifier(m, 3)):
        with pytest.raises(ModelError, match="no classifier to speak of"):
            call(model)


def test_the_classifier_of_a_video_network() -> None:
    model = models.create("torchvision/s3d")  # a convolution
    models.reset_classifier(model, 7)
    assert models.num_classes(model) == 7


@pytest.mark.parametrize(("epsilon", "frozen"), [(None, 1e-5), (0.0, 0.0)])
def test_weights_of_frozen_norms_fit_norms_that_train(epsilon: float, frozen: float) -> None:
    torch.manual_seed(0)
    library = nn.Sequential(nn.Conv2d(3, 4, 3), FrozenBatchNorm2d(4, frozen)).double()
    for buffer in library[1].buffers():
        buffer.copy_(torch.rand(4) + 0.1)
    library[1].running_var.mul_(1e-3)
    ours = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).double().eval()
    load_frozen_norms(ours, library.state_dict(), epsilon)
    image = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(ours(image), library(image), rtol=1e-10, atol=1e-10)
