"""One timed run on a GPU: correctness, speed beside peers, kernels; also small on a CPU."""

from mmvisionllama.benchmark.gpu.parts import benchmark_gpu

__all__ = ["benchmark_gpu"]
