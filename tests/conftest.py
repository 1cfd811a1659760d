import os

# One thread: sums come out the same on every machine, and processes that tests start do not fight for cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from mmvisionllama import compat

compat.prepare()
