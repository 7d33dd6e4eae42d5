"""Names to modules: timm's models, torchvision's, and the CIFAR networks of the literature."""

from binarize.models.budget import budget_of
from binarize.models.checkpoint import OtherClasses, load_checkpoint
from binarize.models.classifier import num_classes, reset_classifier
from binarize.models.copied import copied
from binarize.models.create import Fetched, Pretrained, check_spec, create, describe, fetch
from binarize.models.hub import fetch_hub, is_hub_name
from binarize.models.imagenet import imagenet_names
from binarize.models.names import (
    Listing,
    has_pretrained,
    is_known,
    list_models,
    parse,
)
from binarize.models.outputs import logits_of, probabilities_of, tensors_in, why_no_softmax
from binarize.models.own import is_own_code, own_code, rebuild
from binarize.models.own import make as make_own
from binarize.models.precision import full_precision
from binarize.models.preprocess import default_preprocess
from binarize.models.tasks import part_of, require, task_of

__all__ = [
    "Fetched",
    "Listing",
    "OtherClasses",
    "Pretrained",
    "budget_of",
    "check_spec",
    "copied",
    "create",
    "default_preprocess",
    "describe",
    "fetch",
    "fetch_hub",
    "full_precision",
    "has_pretrained",
    "imagenet_names",
    "is_hub_name",
    "is_known",
    "is_own_code",
    "list_models",
    "load_checkpoint",
    "logits_of",
    "make_own",
    "num_classes",
    "own_code",
    "parse",
    "part_of",
    "probabilities_of",
    "rebuild",
    "require",
    "reset_classifier",
    "task_of",
    "tensors_in",
    "why_no_softmax",
]
