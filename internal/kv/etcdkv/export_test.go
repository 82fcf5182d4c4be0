package etcdkv

// Vanish makes a driver stop renewing its leases.
func Vanish(d *Driver) { d.leases.Vanish() }

// EtcdKey is the name of a key in etcd.
func EtcdKey(prefix, key string) string { return keyspace("/" + prefix).key(key) }
