"""What an adapter says about a module class, and what holds for every class without one."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from binarize.layers.product import BinaryWeight
from binarize.layers.weight import FrozenWeight, WeightBinarizer

M = TypeVar("M", bound=nn.Module)


class Adapter(Generic[M]):
    """For module classes that use `module.<parameter>` as it is.

    Attributes:
        transforms: the class transforms its weight before use, and the adapter takes that over.
        binary_inputs: False: only weights can be binary; `why_not` says why.
    """

    transforms = False
    binary_inputs = True
    why_not = ""

    def methods(self, cls: type[M]) -> dict[str, Any]:
        """Attributes of the class that replaces `cls`, such as its `forward`."""
        return {}

    def weight(self, module: M, latent: Tensor) -> tuple[Tensor, Tensor | None]:
        """(float weight [out, ...] that is to be binarized, gain [out, 1, ...] to multiply it by)."""
        return latent, None

    def read(self, module: M, binarizer: WeightBinarizer, latent: Tensor) -> Tensor | BinaryWeight:
        """What `module.<parameter>` reads as."""
        return binarizer.read(*self.weight(module, latent))

    def freeze(
        self, module: M, parameter: str, binarizer: WeightBinarizer
    ) -> dict[str, FrozenWeight]:
        """The constants that the weight becomes, by their names in the module. A name other than
        `parameter` is that of a parameter which this method has put there itself."""
        latent = module._parameters[parameter]
        assert latent is not None
        return {parameter: binarizer.frozen(*self.weight(module, latent))}

    def prepare_export(self, module: M) -> None:
        """Make a float module of the class, in place, one that torch.export can follow."""
