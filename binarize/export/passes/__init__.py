"""Passes over the exported graph, one contract per file; each tells whether it changed anything.

seal         frozen weights become graph inputs, out of the optimiser's reach
pack         nodes that multiply by a sealed weight become ops of domain `binarize`
fuse_inputs  such a node, the binary input before it and the scale behind it become one node
fuse_stem    a float convolution, ReLU and pooling at the beginning become one op (the packed form)
fold_norm    a batch normalisation behind such a node goes into its scale and bias
fuse_outputs an addition and an activation behind such a node become part of it
pack_edges   binary ops behind each other hand on one bit a value (the native form)
part_pools   padding with zeros stays apart from the max pooling behind it
store_small  a classifier weight becomes one of fewer bits, and what makes a float of it
share        equal integer constants are stored once
tidy         nothing is left in the file that a reader of it does not need
"""

from binarize.export.passes.fold_norm import FoldNorm
from binarize.export.passes.fuse_inputs import FuseInputs
from binarize.export.passes.fuse_outputs import FuseOutputs
from binarize.export.passes.fuse_stem import FuseStem
from binarize.export.passes.pack import PackWeights
from binarize.export.passes.pack_edges import PackEdges
from binarize.export.passes.part_pools import PartPools
from binarize.export.passes.seal import SealWeights
from binarize.export.passes.share import ShareIntegers
from binarize.export.passes.store_small import StoreSmall
from binarize.export.passes.tidy import Tidy

__all__ = [
    "FoldNorm",
    "FuseInputs",
    "FuseOutputs",
    "FuseStem",
    "PackEdges",
    "PackWeights",
    "PartPools",
    "SealWeights",
    "ShareIntegers",
    "StoreSmall",
    "Tidy",
]
