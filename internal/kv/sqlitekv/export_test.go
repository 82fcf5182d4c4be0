package sqlitekv

// Vanish makes d's leases run out, as if its process had been stopped.
func Vanish(d *Driver) { d.leases.Vanish() }
