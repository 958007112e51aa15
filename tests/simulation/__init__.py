"""The whole operator but Kopf, on an API server in memory that fails, forgets, delays and repeats.

Time is virtual, and a seed gives the same faults each time. Each story says how its runs end; it has to come true
with and without faults.
"""
