"""The scripts here replace parts of CuPy; pytest must not import them for doctests."""

collect_ignore = [
    "check_fused_bodies.py",
    "check_half_bodies.py",
    "count_cnn_step.py",
    "count_mlp_step.py",
    "count_precision.py",
    "cupy_dryrun.py",
    "fuse_on_cpu.py",
]
