"""verl as the host: its Ray trainer, workers and samplers; our signals and our loss.

    trainer.v1.trainer_mode=jumar +jumar.algorithm.name=owpo

That is all that a verl user adds to a command (docs/verl.md). verl loads `plugin` by itself.

    settings, provision    what is asked for, and whether verl can give what it reads
    columns                our columns and verl's fields
    values, replay         what comes from disk: V* of each prompt, a fixed batch
    trainer                the whole rollout, once per step, in the process that drives the others
    watch                  whether those that sample are still there
    worker, loss           one optimiser step, in each process that has a model
    host                   every name of verl that is touched
"""
