"""Passes over the exported graph, one contract per file; each tells whether it changed anything.

mark_as_input             frozen weights become graph inputs, out of the optimiser's reach
pack                      nodes that multiply by such an input become ops of domain `binarize`
fuse_inputs               such a node, the binary input before it and the scale behind it become one node
fuse_stem                 a float convolution, ReLU and pooling at the beginning become one op (the packed
                          form)
fold_norm                 a batch normalisation behind such a node goes into its scale and bias
fold_statistics           of a batch normalisation that stays, two vectors are stored instead of four
fuse_outputs              an addition and an activation behind such a node become part of it
choose_domain             ops whose kernels pay off with wide vectors alone move to `binarize.wide` (the
                          packed form)
pack_activations          binary ops behind each other pass bit-packed activations (the native form)
separate_pool_padding     padding with zeros stays separate from the max pooling behind it
store_compressed          a classifier weight becomes one of fewer bits, and what makes a float of it
compress_tables           index tables and masks are stored with the bits that their values need
deduplicate_initializers  equal integer constants and tables are stored once
embed_preprocess          normalisation and softmax become part of the graph
strip_metadata            metadata, doc strings and names that no reader needs are dropped
"""

from binarize.exporting.passes.choose_domain import ChooseDomain
from binarize.exporting.passes.compress_tables import CompressTables
from binarize.exporting.passes.deduplicate_initializers import DeduplicateInitializers
from binarize.exporting.passes.embed_preprocess import EmbedPreprocess
from binarize.exporting.passes.fold_norm import FoldNorm
from binarize.exporting.passes.fold_statistics import FoldStatistics
from binarize.exporting.passes.fuse_inputs import FuseInputs
from binarize.exporting.passes.fuse_outputs import FuseOutputs
from binarize.exporting.passes.fuse_stem import FuseStem
from binarize.exporting.passes.mark_as_input import MarkAsInput
from binarize.exporting.passes.pack import PackWeights
from binarize.exporting.passes.pack_activations import PackActivations
from binarize.exporting.passes.separate_pool_padding import SeparatePoolPadding
from binarize.exporting.passes.store_compressed import StoreCompressed
from binarize.exporting.passes.strip_metadata import StripMetadata

__all__ = [
    "ChooseDomain",
    "CompressTables",
    "DeduplicateInitializers",
    "EmbedPreprocess",
    "FoldNorm",
    "FoldStatistics",
    "FuseInputs",
    "FuseOutputs",
    "FuseStem",
    "MarkAsInput",
    "PackActivations",
    "PackWeights",
    "SeparatePoolPadding",
    "StoreCompressed",
    "StripMetadata",
]
