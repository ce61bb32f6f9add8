"""Goals of the benchmarks: figures with a minimum or a maximum."""


def goal(what, value, kind, bound):
    """A goal: what is measured, the value, the bound, and whether the goal is met. The kind of the bound is minimum or
    maximum. Without a value or a bound, the goal is not measured."""
    is_measured = value is not None and bound is not None
    is_met = is_measured and (value >= bound if kind == "minimum" else value <= bound)
    return {"what": what, "value": value, kind: bound, "is_measured": is_measured, "is_met": is_met}


def described(found):
    """A goal as a line of text."""
    kind = "minimum" if "minimum" in found else "maximum"
    outcome = "met" if found["is_met"] else "MISSED" if found["is_measured"] else "NOT MEASURED"
    value, bound = ("–" if number is None else f"{number:.3g}" for number in (found["value"], found[kind]))
    return f"{outcome}: {found['what']}: {value}, {kind} {bound}"
