"""What ImageNet's classes are called: the libraries' pretrained networks do not say it themselves."""

from __future__ import annotations

import functools
from collections import Counter

from timm.data import ImageNetInfo, infer_imagenet_subset


@functools.cache
def imagenet_names(count: int) -> tuple[str, ...]:
    """The names of so many classes, in the order of the logits: those of ImageNet-1k for 1000, of timm's
    ImageNet-12k for 11821, and so on. Empty where there is no such set.

    A name is WordNet's first; where classes share it, their synset is said too: "crane (n02012849)".
    """
    subset = infer_imagenet_subset({"num_classes": count})
    if subset is None:
        return ()
    about = ImageNetInfo(subset)
    synsets = about.label_names()
    names = [about.label_name_to_description(synset).partition(",")[0] for synset in synsets]
    shared = Counter(names)
    return tuple(
        f"{name} ({synset})" if shared[name] > 1 else name
        for name, synset in zip(names, synsets, strict=True)
    )
