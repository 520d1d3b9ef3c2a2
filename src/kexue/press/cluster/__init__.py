"""Many runs, on Dask.

From `kexue run` to stored runs: `runner` takes the units that are stale, `clusters` finds the workers, `compatibility`
refuses those that are not like us, `scheduler` hands tasks out and takes results in, `worker` makes a task's run in a
`process` of its own. `heartbeat` knows who still answers, `limits` whether this machine allows it at all.
"""
