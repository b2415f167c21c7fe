"""ResNet18, 34 and 50 on a line plot of the waveform, with attention and residual shrinkage: the networks of paper A
(https://doi.org/10.3390/app15158246).

He et al. 2015, https://arxiv.org/abs/1512.03385: y = relu(F(x) + s(x)), s the identity, or a 1 × 1 convolution where
the shape changes. In the 18 and 34 layers F has two convolutions of 3 × 3, in the 50 layers three, of 1 × 1, 3 × 3 and
1 × 1, the last with four times as many filters. Shrinkage is on F(x), attention on y, after each block.

| stage | 18 | 34 | 50 | filters | pixels |
|---|---|---|---|---|---|
| stem: convolution of 7 × 7, stride 2; maximum over 3 × 3, stride 2 | | | | 64 | 56 |
| 1 to 4: blocks; the first of 2 to 4 with stride 2 | 2, 2, 2, 2 | 3, 4, 6, 3 | 3, 4, 6, 3 | 64 to 512 | 56 to 7 |
| mean over all pixels, fully connected | | | | 30 | 1 |

11,191,902, 21,300,062 and 23,569,502 parameters: the 11,689,512, 21,797,672 and 25,557,032 of torchvision, with 30 in
place of 1000 classes. The final network of paper A, ResNet18 with CBAM and shrinkage, has 11,370,854.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seisedge.train.models._base import BinnedMagnitudeModel
from seisedge.train.models._registry import register_model
from seisedge.train.models.attention_2d import Attention, attention_2d, shrinkage_2d
from seisedge.train.models.picture_network import BINS, Additions, Input, Marks, PictureNetwork


class PictureBlock(nn.Module):
    """A residual block, see above. Parts have the names of torchvision."""

    expansion = 1

    def __init__(self, channels_in: int, inner: int, stride: int, added: Additions) -> None:
        super().__init__()
        channels_out = inner * self.expansion
        self.convolve(channels_in, inner, stride)
        self.shrink = shrinkage_2d(added.shrinkage, channels_out)
        self.attend = attention_2d(added.attention, channels_out)
        self.downsample = (
            nn.Identity()
            if stride == 1 and channels_in == channels_out
            else nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )
        )

    def convolve(self, channels_in: int, inner: int, stride: int) -> None:
        """Create the layers of F."""
        self.conv1 = nn.Conv2d(channels_in, inner, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)

    def residual(self, x: Tensor) -> Tensor:
        """F(x)."""
        out: Tensor = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels_in, h, w) → (batch, expansion · inner, h / stride, w / stride)."""
        out: Tensor = self.attend(torch.relu(self.shrink(self.residual(x)) + self.downsample(x)))
        return out


class PictureBottleneck(PictureBlock):
    """The block of the 50 layers; the stride is that of the convolution of 3 × 3, as in torchvision."""

    expansion = 4

    def convolve(self, channels_in: int, inner: int, stride: int) -> None:
        """Create the layers of F."""
        self.conv1 = nn.Conv2d(channels_in, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, inner * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(inner * self.expansion)

    def residual(self, x: Tensor) -> Tensor:
        """F(x)."""
        x = torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))
        out: Tensor = self.bn3(self.conv3(x))
        return out


class ResNetImage(PictureNetwork):
    """Four stages of residual blocks. depths: blocks of each stage."""

    def __init__(
        self, given: Input, block: type[PictureBlock], depths: tuple[int, ...], added: Additions, width: int = 64
    ) -> None:
        super().__init__(given)
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = width
        stages: list[nn.Sequential] = []
        for stage, depth in enumerate(depths):
            blocks: list[nn.Module] = []
            for k in range(depth):
                blocks.append(block(channels, width << stage, 2 if stage and not k else 1, added))
                channels = (width << stage) * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Linear(channels, BINS)

    def late_layers(self) -> list[nn.Module]:
        """The last stage and the fully connected layer."""
        return [self.layer4, self.fc]

    def scores(self, picture: Tensor) -> Tensor:
        """(batch, 3, 224, 224) → (batch, BINS)."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(picture))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


@register_model
def resnet18_image(
    marks: Marks = "none",
    attention: Attention = "none",
    shrinkage: bool = False,
    width: int = 64,
    onset_s: float = 7.5,
) -> BinnedMagnitudeModel:
    """ResNet18 on a 224 × 224 line plot; 30 bins. width: filters of the first stage."""
    return ResNetImage(Input(marks, onset_s), PictureBlock, (2, 2, 2, 2), Additions(attention, shrinkage), width)


@register_model
def resnet34_image(
    marks: Marks = "none",
    attention: Attention = "none",
    shrinkage: bool = False,
    width: int = 64,
    onset_s: float = 7.5,
) -> BinnedMagnitudeModel:
    """ResNet34 on a 224 × 224 line plot; 30 bins. width: filters of the first stage."""
    return ResNetImage(Input(marks, onset_s), PictureBlock, (3, 4, 6, 3), Additions(attention, shrinkage), width)


@register_model
def resnet50_image(
    marks: Marks = "none",
    attention: Attention = "none",
    shrinkage: bool = False,
    width: int = 64,
    onset_s: float = 7.5,
) -> BinnedMagnitudeModel:
    """ResNet50 on a 224 × 224 line plot; 30 bins. width: inner filters of the first stage."""
    return ResNetImage(Input(marks, onset_s), PictureBottleneck, (3, 4, 6, 3), Additions(attention, shrinkage), width)


@register_model
def resnet18_cbam_image(marks: Marks = "none", onset_s: float = 7.5) -> BinnedMagnitudeModel:
    """The final network of paper A: ResNet18 with CBAM and shrinkage on a 224 × 224 line plot; 30 bins."""
    return ResNetImage(Input(marks, onset_s), PictureBlock, (2, 2, 2, 2), Additions("cbam", True))
