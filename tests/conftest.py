"""Without a GPU the Triton kernels run in Triton's interpreter, on CPU tensors; to be said before its import."""

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
