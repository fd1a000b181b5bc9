"""Capture: a folder of one object's photos, opened and checked.

In: a folder. Out: `Capture`: photos, masks, and cameras with points where they are given; None where they have to be
found.
"""
