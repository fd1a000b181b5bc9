"""Training: photos and a start for everything learned in, the same learned out, step by step.

    schedule    when what happens: rates, weights, switching points; `effort`: how long and how large
    trainer     the step; `recorded`: the same as CUDA graphs
    frames      photos at the resolution of a step, with what they are compared by (`loss`, `covers`)
    density     where the Gaussians are: relocation, growth, noise (`seen`, `extra`, `drop`)
    adam        the optimiser
    checkpoint  all of it in one file

Lengths are scene units, rates of the means px of the training width at the object, colours linear light.
"""
