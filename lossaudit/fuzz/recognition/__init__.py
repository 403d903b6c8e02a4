"""Which loss is this? Found by probing: domain, argument order, formula, parameters, reduction, and mistake if any.

Evidence is ranked: exact agreement with a reference on ordinary inputs; then with a reference and a convention or a
mistake of the bank; then agreement on a part of the inputs, or up to a constant relation. Names are never evidence,
only hints to the values of parameters.

What exact agreement is worth
    Six probes in float32 are six equations that hold to a millionth. A family with two free parameters, tried with two
    hundred pairs of numbers that stand in the source, can meet them by chance or by a limit: at the end of its range a
    parameter makes of a family another one plus next to nothing. So a match is *confirmed* by the same probes in
    float64, where next to nothing shows. One that fails there is another loss, unless the target visibly computes in
    float32 whatever it is given: its answers to the same numbers in float32 and float64 are the same. Then, and where a
    target takes no float64 at all, float32 must do, and the report says so.

    Families that agree on ordinary inputs may part on saturated ones, so among confirmed matches that wins which explains
    most of those; then the one whose parameters are declared, then the one with fewest numbers fitted. A match that
    explains all of them cannot be beaten: only without one the numbers in the source are tried as parameters.

    A match on a narrow domain (log-probabilities) says nothing of a target that also takes the wide one (any logits) and
    gives something else there. If near zero it is a reference of the wide domain, it is that one gone wrong farther out.

    On distributions the slope tells how a target goes on where rows do not sum to one. What is a reference up to a factor, or
    with a mistake, and leads out of the domain in another way than that, is another loss. Exact agreement is not touched by it.

    Hard targets are special cases of soft ones: the target's answer to soft targets, if it takes them, decides between
    families that agree on hard ones.
"""
