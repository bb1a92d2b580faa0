"""Who is compared: xpnet on each backend, and what a user would pick instead."""

from bench.contenders._contender import NO_TF32, Contender
from bench.contenders._on_cpu import ON_CPU
from bench.contenders._on_gpu import EAGER, GRAPHED, ON_GPU

CONTENDERS = {contender.name: contender for contender in (*ON_CPU, *ON_GPU)}

__all__ = ["CONTENDERS", "EAGER", "GRAPHED", "NO_TF32", "Contender"]
