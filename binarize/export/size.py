from __future__ import annotations
def predicted_bytes(model,size,info): return 0
def packed_size(x): return 0
