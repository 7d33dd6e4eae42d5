"""Passes over the exported graph, one contract per file; each tells whether it changed anything.

seal         frozen weights become graph inputs, out of the optimiser's reach
pack         nodes that multiply by a sealed weight become ops of domain `binarize`
fold_norm    a batch normalisation behind such a node goes into its scale and bias
share        equal integer constants are stored once
tidy         nothing is left in the file that a reader of it does not need
"""

from binarize.export.passes.fold_norm import FoldNorm
from binarize.export.passes.pack import PackWeights
from binarize.export.passes.seal import SealWeights
from binarize.export.passes.share import ShareIntegers
from binarize.export.passes.tidy import Tidy

__all__ = ["FoldNorm", "PackWeights", "SealWeights", "ShareIntegers", "Tidy"]
