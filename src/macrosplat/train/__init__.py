"""Training: photos and a start for everything learned in, the same learned out, step by step.

    begin       a trainer at its first step or a checkpoint's; `pilot`: whether a lens explains the photos
    schedule    when what happens: rates, weights, switching points; `effort`: how long and how large
    training    where a run stands; `trainer`: one step after the other, and what changes between two
    step        what a step computes; taken as it comes (`eager`), or recorded as CUDA graphs (`graphs`)
    targets     photos at the resolution of a step, with what they are compared by (`loss`, `alpha_target`)
    density     where the Gaussians are: relocation, growth, noise (`seen`, `extra`, `drop`)
    random      all chance of a run, as a function of (seed, step, purpose)
    adam        the optimiser
    log, fit    figures of a run while it trains
    ranks       several processes that train one scene, one GPU each; `shared`: their steps as CUDA graphs
    checkpoint  all of it in one file

Lengths are scene units, rates of the means px of the training width at the object, colours linear light.
"""
