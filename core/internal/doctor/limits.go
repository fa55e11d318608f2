package doctor

const (
	// leastOpenFiles is what the service needs with a few open projects.
	leastOpenFiles = 1024
	// perProject is how many files an open project holds, and a statement in it.
	perProject = 4
)

func (x *examination) openFiles() Check {
	const name = "openFiles"
	limit, err := x.OpenFiles()
	wanted := uint64(leastOpenFiles + perProject*x.MaxOpen)
	switch {
	case err != nil:
		return failed(name, "%s", err)
	case limit < leastOpenFiles:
		return failed(name, "the limit of open files is %d, and %d is the least: raise it (ulimit -n, LimitNOFILE= of systemd)", limit, leastOpenFiles)
	case limit < wanted:
		return warning(name, "the limit of open files is %d, and %d open projects may need %d: raise it, or lower engine.max_open", limit, x.MaxOpen, wanted)
	}
	return ok(name, "the limit of open files is %d", limit)
}

func (x *examination) memory() Check {
	const name = "memory"
	budget, usable := size(uint64(x.Memory)), size(uint64(x.Usable))
	switch {
	case x.Usable <= 0:
		return warning(name, "DuckDB may use %s; how much this machine or container has is not known: set engine.memory_limit to 75 %% of it", budget)
	case x.Memory > x.Usable:
		return failed(name, "DuckDB may use %s, and this machine or container has %s: the kernel would kill the service; lower engine.memory_limit", budget, usable)
	case x.Memory > x.Usable/10*9:
		return warning(name, "DuckDB may use %s of the %s of this machine or container, which leaves less than 10 %% for everything else: lower engine.memory_limit", budget, usable)
	}
	return ok(name, "DuckDB may use %s of %s", budget, usable)
}
