"""The fault matrix: what is in Kafka after each kind of fault. tools/faults.py runs it.

cluster.py   three brokers, each behind a proxy, and their controller
proxy.py     toxiproxy: installed, started, told what to do to the connections
job.py       a writer in a process of its own (writer.py), seen from outside
judge.py     what an ordinary consumer finds, against what the receipt says
lines.py     the faults
matrix.py    rounds: a line's fault at random moments, and what came of each
table.py     the results as a file and as tables
"""
