"""The networks of the literature's CIFAR tables, registered with timm under `cifar_…` names.

    name             parameters  source
    cifar_resnet20   269,722     He et al. 2016, section 4.2: three stages of 16, 32, 64 channels, option A
    cifar_resnet32   464,154     the same with five blocks a stage
    cifar_resnet44   658,586     with seven
    cifar_resnet56   853,018     with nine
    cifar_resnet110  1,727,962   with eighteen
    cifar_resnet18   11,173,962  timm's ResNet-18 behind a 3x3 stem without stride or pooling
    cifar_vgg_small  4,660,106   six 3x3 convolutions (128, 256, 512) and one classifier, as in LQ-Nets,
                                 IR-Net and ReSTE

All take [N, 3, 32, 32] and give [N, num_classes]; the ResNets take other sizes too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from timm.layers import ConvNormAct, SelectAdaptivePool2d, create_classifier
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet
from torch import Tensor, nn
from torch.nn import functional as F

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)


SHORTCUTS = ("centre", "end")


class OptionAShortcut(nn.Module):
    """The shortcut without parameters: every `stride`-th pixel, then channels of zeros.

        [N, C, H, W] -> [N, C + extra, ceil(H / stride), ceil(W / stride)]

    `padding` says where the zeros are: "centre", half of them before the channels and half behind, as in the
    literature's public code, so that its checkpoints fit; or "end", all behind.

    Source: He et al. 2016, "Deep Residual Learning", option A.
    """

    def __init__(self, stride: int, extra: int, padding: str = "centre") -> None:
        super().__init__()
        if padding not in SHORTCUTS:
            raise ValueError(f'shortcut should be {" or ".join(SHORTCUTS)}, not "{padding}"')
        self.stride = stride
        self.before = extra // 2 if padding == "centre" else 0
        self.behind = extra - self.before

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.behind))


class _Classified(nn.Module, ABC):
    """What timm's models share: pooled features, one linear classifier `fc`, and its reset."""

    num_features: int
    global_pool: SelectAdaptivePool2d
    fc: nn.Module

    def _add_head(self, num_classes: int, global_pool: str, drop_rate: float) -> None:
        self.num_classes = num_classes
        self.global_pool, self.head_drop, self.fc = create_classifier(
            self.num_features, num_classes, global_pool, drop_rate=drop_rate
        )
        self.head_hidden_size = self.num_features
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def get_classifier(self) -> nn.Module:
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        self.num_classes = num_classes
        kind = self.global_pool.pool_type if global_pool is None else global_pool
        self.global_pool, self.fc = create_classifier(self.num_features, num_classes, kind)

    @abstractmethod
    def forward_features(self, x: Tensor) -> Tensor:
        """Images to the features that the classifier pools."""

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        x = self.head_drop(self.global_pool(x))
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


class CifarResNet(_Classified):
    """He et al.'s 6n+2-layer ResNet: a 3x3 stem and three stages of timm's basic blocks.

    timm's ResNet class has four stages and a stem of 64 channels at least, hence this one.
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential

    def __init__(
        self,
        blocks: int,
        channels: tuple[int, ...] = (16, 32, 64),
        num_classes: int = 10,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        shortcut: str = "centre",
    ) -> None:
        super().__init__()
        self.num_features = channels[-1]
        self.conv1 = nn.Conv2d(in_chans, channels[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.act1 = nn.ReLU(inplace=True)
        self.feature_info = [{"num_chs": channels[0], "reduction": 1, "module": "act1"}]
        before = channels[0]
        for index, width in enumerate(channels):
            name, stride = f"layer{index + 1}", 1 if index == 0 else 2
            self.add_module(name, _stage(blocks, before, width, stride, shortcut))
            self.feature_info.append({"num_chs": width, "reduction": 2**index, "module": name})
            before = width
        self._add_head(num_classes, global_pool, drop_rate)

    def forward_features(self, x: Tensor) -> Tensor:
        x = self.act1(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x)))


def _stage(blocks: int, before: int, width: int, stride: int, padding: str) -> nn.Sequential:
    shortcut = OptionAShortcut(stride, width - before, padding) if stride > 1 else None
    first = BasicBlock(before, width, stride, downsample=shortcut)
    return nn.Sequential(first, *(BasicBlock(width, width) for _ in range(blocks - 1)))


class CifarStemResNet(ResNet):
    """timm's ResNet with a 3x3 stem of stride 1 and no pooling, so that 32x32 images keep their size."""

    feature_info: list[dict[str, Any]]

    def __init__(self, *, in_chans: int = 3, **kwargs: Any) -> None:
        super().__init__(in_chans=in_chans, **kwargs)
        stem = nn.Conv2d(in_chans, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
        self.add_module("conv1", stem)
        self.add_module("maxpool", nn.Identity())
        for info in self.feature_info:
            info["reduction"] = max(1, info["reduction"] // 4)


class CifarVGGSmall(_Classified):
    """2x128 - pool - 2x256 - pool - 2x512 - pool - classifier; batch norm and ReLU after each convolution."""

    def __init__(
        self,
        channels: tuple[int, ...] = (128, 256, 512),
        num_classes: int = 10,
        in_chans: int = 3,
        img_size: int | tuple[int, int] = 32,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
        layers: list[nn.Module] = []
        self.feature_info = []
        for index, wide in enumerate(channels):
            layers += [ConvNormAct(in_chans, wide, 3), ConvNormAct(wide, wide, 3), nn.MaxPool2d(2)]
            tap = {"num_chs": wide, "reduction": 2**index, "module": f"features.{len(layers) - 2}"}
            self.feature_info.append(tap)
            in_chans = wide
        self.features = nn.Sequential(*layers)
        pooled = 2 ** len(channels)
        self.num_features = channels[-1] * (height // pooled) * (width // pooled)
        self._add_head(num_classes, "", drop_rate)

    def forward_features(self, x: Tensor) -> Tensor:
        return torch.flatten(self.features(x), 1)


def _cfg(**changes: Any) -> dict[str, Any]:
    return {
        "num_classes": 10,
        "input_size": (3, 32, 32),
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "mean": MEAN,
        "std": STD,
        "first_conv": "conv1",
        "classifier": "fc",
        **changes,
    }


BLOCKS = {
    "cifar_resnet20": 3,
    "cifar_resnet32": 5,
    "cifar_resnet44": 7,
    "cifar_resnet56": 9,
    "cifar_resnet110": 18,
}
"""Name -> basic blocks in each stage."""
DEFAULTS: dict[str, dict[str, Any]] = {name: {"shortcut": "centre"} for name in BLOCKS}
"""Name -> arguments that a run keeps although nobody gave them: what they stood for has changed before."""

default_cfgs = generate_default_cfgs(
    {
        **{name: _cfg() for name in BLOCKS},
        "cifar_resnet18": _cfg(),
        "cifar_vgg_small": _cfg(first_conv="features.0.conv", fixed_input_size=True),
    }
)


def _cifar_resnet(name: str, pretrained: bool, **kwargs: Any) -> nn.Module:
    features = {"out_indices": (0, 1, 2, 3)}
    build = {"blocks": BLOCKS[name], "feature_cfg": features, **kwargs}
    return build_model_with_cfg(CifarResNet, name, pretrained, **build)


@register_model
def cifar_resnet20(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """ResNet-20 for 32x32 images with option-A shortcuts."""
    return _cifar_resnet("cifar_resnet20", pretrained, **kwargs)


@register_model
def cifar_resnet32(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """ResNet-32 for 32x32 images with option-A shortcuts."""
    return _cifar_resnet("cifar_resnet32", pretrained, **kwargs)


@register_model
def cifar_resnet44(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """ResNet-44 for 32x32 images with option-A shortcuts."""
    return _cifar_resnet("cifar_resnet44", pretrained, **kwargs)


@register_model
def cifar_resnet56(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """ResNet-56 for 32x32 images with option-A shortcuts."""
    return _cifar_resnet("cifar_resnet56", pretrained, **kwargs)


@register_model
def cifar_resnet110(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """ResNet-110 for 32x32 images with option-A shortcuts."""
    return _cifar_resnet("cifar_resnet110", pretrained, **kwargs)


@register_model
def cifar_resnet18(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """ResNet-18 with a stem for 32x32 images."""
    build = {"block": BasicBlock, "layers": (2, 2, 2, 2), "zero_init_last": False, **kwargs}
    return build_model_with_cfg(CifarStemResNet, "cifar_resnet18", pretrained, **build)


@register_model
def cifar_vgg_small(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """VGG-small of the 1-bit literature."""
    features = {"flatten_sequential": True, "out_indices": (0, 1, 2)}
    build = {"feature_cfg": features, **kwargs}
    return build_model_with_cfg(CifarVGGSmall, "cifar_vgg_small", pretrained, **build)
