"""What a run needs, by arithmetic: memory of a GPU, time, network, disk; see docs/planning.md.

shapes      models by the numbers of their config.json, and some known ones
hardware    GPUs by what their maker publishes
job         a recipe on a machine: what every formula reads
memory, time, storage      the formulas, one line each
"""
